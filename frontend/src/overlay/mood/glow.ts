/**
 * The theme "glow": a light along one edge of the picture.
 *
 * Its shape is drawn once, in `mood.css`. A new colour is painted on the layer that is hidden, and
 * the two are faded into each other, which the compositor does without drawing anything again.
 */
import { moodColour } from "@/mood/palette";
import type { Shown } from "@/overlay/mood/state";
import { COLOUR_MS, type Theme, add } from "@/overlay/mood/theme";

export const EDGES = ["bottom", "top", "left", "right"] as const;
export type Edge = (typeof EDGES)[number];

/** How far the colours at both ends of the light lie from that in its middle. */
const SPREAD = 0.18;

export class Glow implements Theme {
  readonly leastMs = COLOUR_MS;
  private readonly light: HTMLElement;
  private front: HTMLElement;
  private back: HTMLElement;
  private colour = "";

  constructor(root: HTMLElement, edge: Edge) {
    this.light = add(root, `us-glow us-edge-${edge}`);
    const shape = add(this.light, "us-glow-shape");
    this.front = add(shape, "us-glow-layer");
    this.back = add(shape, "us-glow-layer");
  }

  draw({ tone, intensity }: Shown): null {
    this.light.style.setProperty("--us-intensity", intensity.toFixed(2));
    const colour = moodColour(tone);
    if (colour !== this.colour) this.fadeTo(colour, tone);
    return null;
  }

  private fadeTo(colour: string, tone: number): void {
    this.colour = colour;
    [this.front, this.back] = [this.back, this.front];
    this.front.style.setProperty("--us-mood", colour);
    this.front.style.setProperty("--us-mood-low", moodColour(tone - SPREAD));
    this.front.style.setProperty("--us-mood-high", moodColour(tone + SPREAD));
    this.front.classList.add("us-on");
    this.back.classList.remove("us-on");
  }
}
