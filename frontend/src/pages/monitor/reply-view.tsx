/** A reply of the co-host: what it answers, its text as it comes, its feelings, and what is made of it. */
import { CornerDownRight, Smile } from "lucide-react";
import type { EmotionEvent, TurnStatus } from "@/client/live-events";
import type { Judgement, ReplyRow } from "@/live/rows";
import {
  Judges,
  JudgingButtons,
  JudgingForm,
  useWriting,
} from "@/pages/monitor/judging";
import styles from "@/pages/monitor/reply-view.module.css";
import { Time } from "@/pages/monitor/time";

interface ReplyViewProps {
  row: ReplyRow;
  cohost: string;
  isSelected: boolean;
  onJudge: (turn: string, judgement: Judgement) => void;
}

/** The card of one reply. */
export function ReplyView({ row, cohost, isSelected, onJudge }: ReplyViewProps) {
  const [writing, onWrite] = useWriting(isSelected);
  const isOver = row.status !== "streaming";
  const judging = {
    row,
    writing,
    onWrite,
    onJudge: (judgement: Judgement) => onJudge(row.turn, judgement),
  };
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
          {isOver && <JudgingButtons {...judging} />}
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
        {isOver && <JudgingForm {...judging} />}
        {isOver && isSelected && <Judges turn={row.turn} />}
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
