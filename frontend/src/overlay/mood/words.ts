/** The word for the mood. All words lie in one place, so a change moves nothing. */
import type { MoodLabel } from "@/client/live-events";
import { add } from "@/overlay/mood/theme";

export type Words = Record<MoodLabel, string>;

export class WordSign {
  private readonly elements = new Map<MoodLabel, HTMLElement>();

  /** Puts the words into `parent`; `draw` shows one of them. */
  constructor(parent: HTMLElement, words: Words) {
    const sign = add(parent, "us-word");
    for (const label of ["negative", "neutral", "positive"] as const) {
      const element = add(sign, "us-word-text");
      element.textContent = words[label];
      this.elements.set(label, element);
    }
  }

  /** Shows the word of this label. */
  draw(label: MoodLabel): void {
    for (const [of, element] of this.elements) element.classList.toggle("us-on", of === label);
  }
}
