/** Keeps a scrolling list at its newest row, or still while somebody reads further up. */
import { type RefObject, useLayoutEffect, useRef, useState } from "react";
import type { Row } from "@/live/rows";
import type { TimelineView } from "@/live/timeline";

export interface Pausable {
  rows: readonly Row[];
  isPaused: boolean;
  /** Rows that came since the pause. */
  unseen: number;
  pause: () => void;
  resume: () => void;
}

/** Pixels from the end that still count as being there. */
const END_ZONE = 48;

/** While paused the same rows stay, each as it is now, so that nothing moves under the reader. */
export function usePausable(timeline: TimelineView): Pausable {
  const [frozen, setFrozen] = useState<TimelineView | null>(null);
  return {
    rows: frozen ? renew(frozen, timeline) : timeline.rows,
    isPaused: frozen !== null,
    unseen: frozen ? timeline.end - frozen.end : 0,
    pause: () => setFrozen((known) => known ?? timeline),
    resume: () => setFrozen(null),
  };
}

function renew(frozen: TimelineView, now: TimelineView): readonly Row[] {
  const shift = frozen.start - now.start;
  return frozen.rows.map((row, index) => now.rows[index + shift] ?? row);
}

interface FollowOptions {
  scroller: RefObject<HTMLElement | null>;
  list: Pausable;
  /** Height of all rows in pixels. */
  height: number;
  /** False keeps the pause when the end is reached, because a row is selected. */
  mayResume: boolean;
}

/** Scrolls to the end unless paused; returns the scroll handler that pauses and resumes. */
export function useFollow({ scroller, list, height, mayResume }: FollowOptions): () => void {
  const lastTop = useRef(0);
  const { rows, isPaused, pause, resume } = list;
  useLayoutEffect(() => {
    if (isPaused || !scroller.current) return;
    scroller.current.scrollTo({ top: scroller.current.scrollHeight });
  }, [scroller, isPaused, rows, height]);
  return () => {
    if (!scroller.current) return;
    const { scrollTop, scrollHeight, clientHeight } = scroller.current;
    const fromEnd = scrollHeight - scrollTop - clientHeight;
    // Growing rows also change the distance to the end; only a move upwards is the reader's wish.
    if (scrollTop < lastTop.current && fromEnd > END_ZONE) pause();
    else if (scrollTop > lastTop.current && fromEnd < 2 && mayResume) resume();
    lastTop.current = scrollTop;
  };
}
