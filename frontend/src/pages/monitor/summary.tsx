/** The side panel: small counts, the mood, why messages were not answered, who answers, and the keys. */
import type { LiveState } from "@/client/live-events";
import type { ChannelMood } from "@/live/moods";
import { reasonLabel } from "@/live/reasons";
import type { Counts } from "@/live/timeline";
import { MoodPanel } from "@/pages/monitor/mood-panel";
import styles from "@/pages/monitor/summary.module.css";

interface SummaryProps {
  counts: Counts;
  moods: readonly ChannelMood[];
  brain: LiveState["brain"] | undefined;
}

/** Counts cover what this page has seen since it was opened. */
export function Summary({ counts, moods, brain }: SummaryProps) {
  return (
    // On a low screen it scrolls, which must work without a mouse too.
    <aside className={styles.panel} aria-label="Summary" tabIndex={0}>
      <dl className={styles.numbers}>
        <Figure label="Messages" value={counts.messages} />
        <Figure label="Answered" value={counts.answered} />
        <Figure label="Skipped" value={counts.skipped} />
        <Figure label="Blocked" value={counts.blocked} />
      </dl>
      <MoodPanel moods={moods} />
      <Reasons counts={counts} />
      {brain && (
        <section className={styles.section}>
          <h2>Brain: {brain.provider}</h2>
          <p className={styles.text}>{brain.description}</p>
          {brain.why && <p className={styles.text}>{brain.why}</p>}
        </section>
      )}
      <Keys />
    </aside>
  );
}

function Figure({ label, value }: { label: string; value: number }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{value.toLocaleString("en")}</dd>
    </div>
  );
}

function Reasons({ counts }: { counts: Counts }) {
  const reasons = [...counts.reasons].sort((a, b) => b[1] - a[1]);
  const most = reasons[0]?.[1] ?? 1;
  return (
    <section className={styles.section}>
      <h2>Why not answered</h2>
      {reasons.length === 0 && <p className={styles.text}>Nothing was skipped so far.</p>}
      <ul className={styles.bars}>
        {reasons.map(([code, count]) => (
          <li key={code}>
            <span>{reasonLabel(code)}</span>
            <span>{count}</span>
            <span className={styles.track} aria-hidden>
              <span style={{ width: `${(100 * count) / most}%` }} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const KEYS = [
  ["J K", "next, previous"],
  ["G B", "good, bad reply"],
  ["E N", "better reply, note"],
  ["U", "unsafe: never learn from it"],
  ["Esc", "back to live"],
  ["M", "mute, unmute"],
] as const;

function Keys() {
  return (
    <section className={`${styles.section} ${styles.keys}`}>
      <h2>Keys</h2>
      <dl>
        {KEYS.map(([keys, action]) => (
          <div key={keys}>
            <dt>
              {keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{action}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
