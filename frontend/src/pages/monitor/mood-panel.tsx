/** The mood of the chat in words, as a number and as a curve, for each channel that has one. */
import { memo } from "react";
import type { MoodEvent, MoodLabel } from "@/client/live-events";
import type { ChannelMood } from "@/live/moods";
import { MoodCurve } from "@/pages/monitor/mood-curve";
import styles from "@/pages/monitor/mood-panel.module.css";

const WORDS: Record<MoodLabel, string> = { negative: "tense", neutral: "calm", positive: "happy" };

/** Nothing before the first reading. */
export const MoodPanel = memo(function MoodPanel({ moods }: { moods: readonly ChannelMood[] }) {
  return moods.map(({ channel, newest, points }) => (
    <section key={channel} className={styles.panel} data-channel={channel}>
      <h2>
        Mood{moods.length > 1 && ` of ${channel}`}: {WORDS[newest.label]}
        <span className={styles.value}>{signed(newest.value)}</span>
      </h2>
      <MoodCurve points={points} label={description(newest)} />
    </section>
  ));
});

function description({ channel, label, value }: MoodEvent): string {
  return `Mood of ${channel} in the last ten minutes, now ${WORDS[label]}, ${signed(value)}`;
}

/** From −1.00 to +1.00, always as wide. */
function signed(value: number): string {
  const text = Math.abs(value).toFixed(2);
  if (text === "0.00") return `±${text}`;
  return value < 0 ? `−${text}` : `+${text}`;
}
