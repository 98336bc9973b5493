/** Keeps a scrolling list at its newest row, or still while somebody reads further up. */
import { type RefObject, type SyntheticEvent, useLayoutEffect, useRef, useState } from "react";
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

type Handler = (event: SyntheticEvent) => void;

/** What the scrolling element tells. */
interface FollowHandlers {
  onScroll: Handler;
  onWheel: Handler;
  onTouchMove: Handler;
  onKeyDown: Handler;
  onPointerDown: Handler;
}

/** How long after a reader's input a move upwards is taken for the reader's wish (ms). */
const WISH_MS = 500;
/** The same after a press, which may be the beginning of a drag of the scroll bar. */
const DRAG_MS = 10_000;

/** Scrolls to the end unless paused; returns the handlers that pause and resume. */
export function useFollow({ scroller, list, height, mayResume }: FollowOptions): FollowHandlers {
  const lastTop = useRef(0);
  const wishedUntil = useRef(0);
  const { rows, isPaused, pause, resume } = list;
  useLayoutEffect(() => {
    if (isPaused || !scroller.current) return;
    scroller.current.scrollTo({ top: scroller.current.scrollHeight });
  }, [scroller, isPaused, rows, height]);
  const wish =
    (ms: number): Handler =>
    (event) => {
      wishedUntil.current = Math.max(wishedUntil.current, event.timeStamp + ms);
    };
  return {
    onScroll: (event) => {
      if (!scroller.current) return;
      const { scrollTop, scrollHeight, clientHeight } = scroller.current;
      const fromEnd = scrollHeight - scrollTop - clientHeight;
      // Rows that are smaller than was thought, and forgotten ones, move the list up as well.
      const isWished = event.timeStamp <= wishedUntil.current;
      if (isWished && scrollTop < lastTop.current && fromEnd > END_ZONE) pause();
      else if (scrollTop > lastTop.current && fromEnd < 2 && mayResume) resume();
      lastTop.current = scrollTop;
    },
    onWheel: wish(WISH_MS),
    onTouchMove: wish(WISH_MS),
    onKeyDown: wish(WISH_MS),
    onPointerDown: wish(DRAG_MS),
  };
}
