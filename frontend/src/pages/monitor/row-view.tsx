/** One row of the feed: a chat message, a stream event, a reply of the co-host, or a notice. */
import { CornerDownRight, Reply as ReplyIcon } from "lucide-react";
import { memo } from "react";
import { displayName } from "@/client/live-events";
import type { EventRow, Judgement, MessageRow, NoticeRow, Row } from "@/live/rows";
import { AuthorBadges } from "@/pages/monitor/author-badges";
import { DecisionChip } from "@/pages/monitor/decision-chip";
import { ReplyView } from "@/pages/monitor/reply-view";
import styles from "@/pages/monitor/row-view.module.css";
import { EVENT_ICONS, describeEvent } from "@/pages/monitor/stream-event";
import { Time } from "@/pages/monitor/time";

interface RowViewProps {
  row: Row;
  cohost: string;
  isSelected: boolean;
  onJudge: (turn: string, judgement: Judgement) => void;
}

/** Rendered again only when the row itself was replaced. */
export const RowView = memo(
  function RowView({ row, cohost, isSelected, onJudge }: RowViewProps) {
    if (row.kind === "message") return <MessageView row={row} isSelected={isSelected} />;
    if (row.kind === "event") return <EventView row={row} isSelected={isSelected} />;
    if (row.kind === "reply") {
      return <ReplyView row={row} cohost={cohost} isSelected={isSelected} onJudge={onJudge} />;
    }
    return <NoticeView row={row} />;
  },
  (before, now) =>
    before.row === now.row && before.isSelected === now.isSelected && before.cohost === now.cohost,
);

function MessageView({ row, isSelected }: { row: MessageRow; isSelected: boolean }) {
  const { message, decision, deleted } = row;
  const names = [styles.line, message.first && styles.first];
  return (
    <div className={names.filter(Boolean).join(" ")}>
      <Time ts={row.ts} />
      <p className={styles.body}>
        <AuthorBadges message={message} />
        <span className={`${styles.name} ${styles[message.role ?? "viewer"]}`}>
          {displayName(message)}
        </span>
        {message.reply_to_user && (
          <span className={styles.replyTo}>
            <ReplyIcon size={12} aria-label="in reply to" />
            {message.reply_to_user}
          </span>
        )}
        {deleted ? (
          <>
            <del className={styles.deleted}>{message.text}</del>
            <span className={styles.deletedLabel}>deleted</span>
          </>
        ) : (
          <span>{message.text}</span>
        )}
      </p>
      <DecisionChip decision={decision} />
      {isSelected && decision?.detail && <Detail text={decision.detail} />}
    </div>
  );
}

function EventView({ row, isSelected }: { row: EventRow; isSelected: boolean }) {
  const { event, decision } = row;
  const Icon = EVENT_ICONS[event.kind];
  return (
    <div className={`${styles.line} ${styles.event}`}>
      <Time ts={row.ts} />
      <p className={styles.body}>
        <Icon className={styles.eventIcon} size={15} aria-hidden />
        <span className={styles.name}>{displayName(event)}</span>
        <span>{describeEvent(event)}</span>
        {event.text && <span className={styles.eventText}> “{event.text}”</span>}
      </p>
      {decision && <DecisionChip decision={decision} />}
      {isSelected && decision?.detail && <Detail text={decision.detail} />}
    </div>
  );
}

function NoticeView({ row }: { row: NoticeRow }) {
  return (
    <div className={styles.notice}>
      <span>{row.text}</span>
    </div>
  );
}

function Detail({ text }: { text: string }) {
  return (
    <p className={styles.detail}>
      <CornerDownRight size={13} aria-hidden />
      {text}
    </p>
  );
}
