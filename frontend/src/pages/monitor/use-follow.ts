/** Keeps a list at its newest row, or still while somebody reads further up. */
import { useState } from "react";
import type { Row } from "@/live/rows";
import type { TimelineView } from "@/live/timeline";

export interface Follow {
  rows: readonly Row[];
  isPaused: boolean;
  /** Rows that came since the pause. */
  unseen: number;
  pause: () => void;
  resume: () => void;
}

/** While paused the same rows stay, each as it is now, so that nothing moves under the reader. */
export function useFollow(timeline: TimelineView): Follow {
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
