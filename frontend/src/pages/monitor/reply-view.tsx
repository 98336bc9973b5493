/** A reply of the co-host: what it answers, its text as it comes, its feelings, and its rating. */
import { CornerDownRight, Smile, ThumbsDown, ThumbsUp } from "lucide-react";
import type { EmotionEvent, TurnStatus } from "@/client/live-events";
import type { Rating, ReplyRow } from "@/live/rows";
import styles from "@/pages/monitor/reply-view.module.css";
import { Time } from "@/pages/monitor/time";

interface ReplyViewProps {
  row: ReplyRow;
  cohost: string;
  onRate: (turn: string, value: 1 | -1) => void;
}

/** The card of one reply. */
export function ReplyView({ row, cohost, onRate }: ReplyViewProps) {
  return (
    <div className={styles.frame}>
      <Time ts={row.ts} />
      <div className={styles.card}>
        <div className={styles.head}>
          <span className={styles.cohost}>{cohost}</span>
          <span className={styles.role}>co-host</span>
          {row.emotions.map((emotion) => (
            <EmotionBadge key={emotion.id} emotion={emotion} />
          ))}
          <Outcome row={row} />
          <Thumbs row={row} onRate={onRate} />
        </div>
        {row.prompt && (
          <p className={styles.prompt}>
            <CornerDownRight size={13} aria-hidden />
            <span>
              <strong>{row.user}</strong> {row.prompt}
            </span>
          </p>
        )}
        <p className={styles.text}>
          {row.text}
          {row.status === "streaming" && <span className={styles.caret} aria-hidden />}
        </p>
        {row.error && <p className={styles.error}>{row.error}</p>}
      </div>
    </div>
  );
}

function EmotionBadge({ emotion }: { emotion: EmotionEvent }) {
  const percent = Math.round((emotion.intensity ?? 1) * 100);
  return (
    <span className={styles.emotion}>
      <Smile size={12} aria-hidden />
      {emotion.name} <span className={styles.intensity}>{percent}%</span>
    </span>
  );
}

const ENDINGS: Record<TurnStatus, string> = {
  complete: "",
  stopped: "stopped",
  replaced: "cut by a newer message",
  abandoned: "nobody was reading",
  failed: "failed",
};

function Outcome({ row }: { row: ReplyRow }) {
  if (row.status === "streaming") return <span className={styles.outcome}>answering…</span>;
  const ending = ENDINGS[row.status];
  const seconds = row.firstTokenMs === null ? "" : `first word ${row.firstTokenMs} ms`;
  return (
    <span className={styles.outcome}>
      {ending && <span className={styles.ending}>{ending}</span>}
      {seconds}
    </span>
  );
}

function Thumbs({ row, onRate }: Pick<ReplyViewProps, "row" | "onRate">) {
  if (row.status === "streaming") return null;
  const { rating } = row;
  return (
    <span className={styles.thumbs}>
      {rating && <span className={styles.stored}>{ratingLabel(rating)}</span>}
      <Thumb value={1} row={row} onRate={onRate} />
      <Thumb value={-1} row={row} onRate={onRate} />
    </span>
  );
}

function Thumb({ value, row, onRate }: Pick<ReplyViewProps, "row" | "onRate"> & { value: 1 | -1 }) {
  const isGiven = row.rating?.value === value && row.rating.state !== "failed";
  const Icon = value === 1 ? ThumbsUp : ThumbsDown;
  return (
    <button
      type="button"
      className={`${styles.thumb} ${value === 1 ? styles.good : styles.bad}`}
      aria-pressed={isGiven}
      title={value === 1 ? "Good reply (G)" : "Bad reply (B)"}
      onClick={(event) => {
        event.stopPropagation();
        onRate(row.turn, value);
      }}
    >
      <Icon size={14} aria-hidden />
      <span className="sr-only">{value === 1 ? "Good reply" : "Bad reply"}</span>
    </button>
  );
}

function ratingLabel({ value, state }: Rating): string {
  if (state === "saving") return "saving…";
  if (state === "failed") return "not stored";
  return value === 1 ? "stored as good" : "stored as bad";
}
