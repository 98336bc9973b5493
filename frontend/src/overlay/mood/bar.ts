/** The theme "bar": a scale from tense to happy, with the mood as a marker on it. */
import { moodColour } from "@/mood/palette";
import type { Shown } from "@/overlay/mood/state";
import { COLOUR_MS, type Theme, add } from "@/overlay/mood/theme";
import { WordSign, type Words } from "@/overlay/mood/words";

export class Bar implements Theme {
  readonly leastMs = COLOUR_MS;
  private readonly bar: HTMLElement;
  private readonly said: HTMLElement;
  private readonly sign: WordSign | null;

  /** Without `words` no word is shown. */
  constructor(root: HTMLElement, words: Words | null) {
    this.bar = add(root, "us-bar");
    this.sign = words && new WordSign(this.bar, words);
    const track = add(this.bar, "us-track");
    add(add(track, "us-groove"), "us-fill");
    this.said = add(track, "us-said");
    const marker = add(track, "us-marker");
    add(marker, "us-halo");
    add(marker, "us-knob");
  }

  draw({ value, tone, intensity, label, message }: Shown): null {
    const { style } = this.bar;
    style.setProperty("--us-mood", moodColour(tone));
    style.setProperty("--us-value", value.toFixed(3));
    style.setProperty("--us-intensity", intensity.toFixed(2));
    if (message !== null) style.setProperty("--us-message", message.toFixed(3));
    this.said.classList.toggle("us-on", message !== null);
    this.sign?.draw(label);
    return null;
  }
}
