/** The virtual list of messages, events and replies: following, pausing, moving, rating. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown } from "lucide-react";
import { useLayoutEffect, useRef, useState } from "react";
import type { Row } from "@/live/rows";
import { CAPACITY, type TimelineView } from "@/live/timeline";
import styles from "@/pages/monitor/feed.module.css";
import { RowView } from "@/pages/monitor/row-view";
import { useFollow } from "@/pages/monitor/use-follow";
import { useHotkeys } from "@/ui/hotkeys";

interface FeedProps {
  timeline: TimelineView;
  cohost: string;
  onRate: (turn: string, value: 1 | -1) => void;
}

/** Pixels from the end that still count as being there. */
const END_ZONE = 48;
const ESTIMATES: Record<Row["kind"], number> = { message: 30, event: 38, reply: 84, notice: 28 };

/** The feed and its "42 new" button. */
export function Feed({ timeline, cohost, onRate }: FeedProps) {
  const { rows, isPaused, unseen, pause, resume } = useFollow(timeline);
  const [selected, setSelected] = useState<string | null>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const lastTop = useRef(0);
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => ESTIMATES[rows[index]?.kind ?? "message"],
    getItemKey: (index) => rows[index]?.key ?? index,
    overscan: 8,
  });
  const height = list.getTotalSize();

  useLayoutEffect(() => {
    if (isPaused || !scroller.current) return;
    scroller.current.scrollTop = scroller.current.scrollHeight;
  }, [isPaused, rows, height]);
  useLayoutEffect(() => {
    // Heights are remembered by key; those of forgotten rows would pile up over a long stream.
    if (list.itemSizeCache.size > 4 * CAPACITY) list.measure();
  }, [list, timeline.end]);

  const goLive = () => {
    setSelected(null);
    resume();
  };
  const select = (index: number) => {
    const row = rows[index];
    if (!row) return;
    pause();
    setSelected(row.key);
    list.scrollToIndex(index, { align: "auto" });
  };
  const move = (step: 1 | -1) => {
    const at = rows.findIndex((row) => row.key === selected);
    select(at < 0 ? (list.range?.endIndex ?? rows.length - 1) : at + step);
  };
  const rate = (value: 1 | -1) => {
    const turn = turnOf(rows.find((row) => row.key === selected));
    if (turn) onRate(turn, value);
  };
  useHotkeys({
    j: () => move(1),
    k: () => move(-1),
    g: () => rate(1),
    b: () => rate(-1),
    escape: goLive,
  });
  const onScroll = () => {
    if (!scroller.current) return;
    const { scrollTop, scrollHeight, clientHeight } = scroller.current;
    const fromEnd = scrollHeight - scrollTop - clientHeight;
    // Growing rows also change the distance to the end; only a move upwards is the reader's wish.
    if (scrollTop < lastTop.current && fromEnd > END_ZONE) pause();
    else if (scrollTop > lastTop.current && fromEnd < 2 && selected === null) resume();
    lastTop.current = scrollTop;
  };

  return (
    <div className={styles.frame}>
      <div className={styles.scroller} ref={scroller} onScroll={onScroll} tabIndex={0} role="feed">
        <div className={styles.canvas} style={{ height }}>
          {list.getVirtualItems().map((item) => {
            const row = rows[item.index];
            return (
              row && (
                <article
                  key={item.key}
                  ref={list.measureElement}
                  data-index={item.index}
                  aria-posinset={item.index + 1}
                  aria-setsize={rows.length}
                  aria-current={row.key === selected || undefined}
                  className={styles.row}
                  style={{ transform: `translateY(${item.start}px)` }}
                  onClick={() => select(item.index)}
                >
                  <RowView
                    row={row}
                    cohost={cohost}
                    isSelected={row.key === selected}
                    onRate={onRate}
                  />
                </article>
              )
            );
          })}
        </div>
      </div>
      {isPaused && (
        <button type="button" className={styles.resume} onClick={goLive}>
          <ArrowDown size={16} aria-hidden />
          {unseen > 0 ? `${unseen} new` : "Back to live"}
        </button>
      )}
    </div>
  );
}

function turnOf(row: Row | undefined): string {
  if (row?.kind === "reply") return row.turn;
  return row?.kind === "message" || row?.kind === "event" ? (row.decision?.turn ?? "") : "";
}
