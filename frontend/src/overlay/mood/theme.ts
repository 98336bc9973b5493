/** What every look of the mood overlay can do. */
import type { MoodPoint } from "@/mood/history";
import type { Shown } from "@/overlay/mood/state";

export interface Theme {
  /** The least milliseconds between two drawings. */
  readonly leastMs: number;
  /**
   * Shows the mood at `now` and returns the milliseconds after which it wants to be drawn again
   * though nothing new came; null when it does not.
   */
  draw(shown: Shown, now: number): number | null;
  /** Remembers a reading, for looks that show how the mood went. */
  remember?(point: MoodPoint): void;
}

/** Milliseconds between two changes of the colour; the styles ease them over a little less. */
export const COLOUR_MS = 1_000;

/** A new element with these classes inside `parent`. */
export function add(parent: HTMLElement, classes: string): HTMLElement {
  const element = document.createElement("div");
  element.className = classes;
  parent.append(element);
  return element;
}
