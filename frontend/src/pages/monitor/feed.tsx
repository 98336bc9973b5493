/** The virtual list of messages, events and replies: following, pausing, moving, judging. */
import { type VirtualItem, useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown } from "lucide-react";
import { useLayoutEffect, useRef, useState } from "react";
import type { Judgement, Row } from "@/live/rows";
import { CAPACITY, type TimelineView } from "@/live/timeline";
import styles from "@/pages/monitor/feed.module.css";
import { RowView } from "@/pages/monitor/row-view";
import { useFollow, usePausable } from "@/pages/monitor/use-follow";
import { useHotkeys } from "@/ui/hotkeys";

interface FeedProps {
  timeline: TimelineView;
  cohost: string;
  onJudge: (turn: string, judgement: Judgement) => void;
}

const ESTIMATES: Record<Row["kind"], number> = { message: 30, event: 38, reply: 84, notice: 28 };

/** The feed and its "42 new" button. */
export function Feed({ timeline, cohost, onJudge }: FeedProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [selected, setSelected] = useState<string | null>(null);
  const pausable = usePausable(timeline);
  const { rows, isPaused, unseen } = pausable;
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => ESTIMATES[rows[index]?.kind ?? "message"],
    getItemKey: (index) => rows[index]?.key ?? index,
    overscan: 8,
  });
  const height = list.getTotalSize();
  const following = useFollow({ scroller, list: pausable, height, mayResume: selected === null });
  useLayoutEffect(() => {
    // Heights are remembered by key; those of forgotten rows would pile up over a long stream.
    if (list.itemSizeCache.size > 4 * CAPACITY) list.measure();
  }, [list, timeline.end]);

  const select = (index: number) => {
    const row = rows[index];
    if (!row) return;
    pausable.pause();
    setSelected(row.key);
    list.scrollToIndex(index, { align: "auto" });
  };
  const goLive = () => {
    setSelected(null);
    pausable.resume();
  };
  const newest = list.range?.endIndex ?? rows.length - 1;
  useFeedKeys({ rows, selected, newest, select, goLive, onJudge });

  return (
    <div className={styles.frame}>
      <div
        className={styles.scroller}
        ref={scroller}
        {...following}
        tabIndex={0}
        role="feed"
        aria-label="Chat"
      >
        <div className={styles.canvas} style={{ height }}>
          {list.getVirtualItems().map((item) => (
            <FeedItem
              key={item.key}
              measure={list.measureElement}
              item={item}
              row={rows[item.index]}
              total={rows.length}
              isSelected={rows[item.index]?.key === selected}
              onSelect={select}
              cohost={cohost}
              onJudge={onJudge}
            />
          ))}
        </div>
      </div>
      {isPaused && <ResumeButton unseen={unseen} onClick={goLive} />}
    </div>
  );
}

interface FeedItemProps extends Pick<FeedProps, "cohost" | "onJudge"> {
  item: VirtualItem;
  row: Row | undefined;
  total: number;
  isSelected: boolean;
  measure: (element: HTMLElement | null) => void;
  onSelect: (index: number) => void;
}

function FeedItem({ item, row, total, isSelected, measure, onSelect, ...rest }: FeedItemProps) {
  if (!row) return null;
  return (
    <article
      ref={measure}
      data-index={item.index}
      data-kind={row.kind}
      aria-posinset={item.index + 1}
      aria-setsize={total}
      aria-current={isSelected || undefined}
      className={styles.row}
      style={{ transform: `translateY(${item.start}px)` }}
      onClick={() => onSelect(item.index)}
    >
      <RowView row={row} isSelected={isSelected} {...rest} />
    </article>
  );
}

function ResumeButton({ unseen, onClick }: { unseen: number; onClick: () => void }) {
  return (
    <button type="button" className={styles.resume} onClick={onClick}>
      <ArrowDown size={16} aria-hidden />
      {unseen > 0 ? `${unseen} new` : "Back to live"}
    </button>
  );
}

interface FeedKeys {
  rows: readonly Row[];
  selected: string | null;
  /** The row to start from when none is selected. */
  newest: number;
  select: (index: number) => void;
  goLive: () => void;
  onJudge: FeedProps["onJudge"];
}

function useFeedKeys({ rows, selected, newest, select, goLive, onJudge }: FeedKeys): void {
  const move = (step: 1 | -1) => {
    const at = rows.findIndex((row) => row.key === selected);
    select(at < 0 ? newest : at + step);
  };
  const rate = (value: 1 | -1) => {
    const turn = turnOf(rows.find((row) => row.key === selected));
    if (turn) onJudge(turn, { kind: "thumb", value });
  };
  const markAsUnsafe = () => {
    const turn = turnOf(rows.find((row) => row.key === selected));
    if (turn) onJudge(turn, { kind: "safety", value: 1 });
  };
  useHotkeys({
    j: () => move(1),
    k: () => move(-1),
    g: () => rate(1),
    b: () => rate(-1),
    u: markAsUnsafe,
    escape: goLive,
  });
}

/** The turn of a reply, or of the reply that a message got. */
function turnOf(row: Row | undefined): string {
  if (row?.kind === "reply") return row.turn;
  return row?.kind === "message" || row?.kind === "event" ? (row.decision?.turn ?? "") : "";
}
