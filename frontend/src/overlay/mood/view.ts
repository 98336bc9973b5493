/**
 * The mood overlay on its page: takes in readings and has its theme drawn when there is something
 * new to see.
 */
import type { LiveEvent, MoodEvent } from "@/client/live-events";
import { Bar } from "@/overlay/mood/bar";
import { Glow } from "@/overlay/mood/glow";
import type { MoodOptions } from "@/overlay/mood/options";
import { Pacer } from "@/overlay/mood/pacer";
import { River } from "@/overlay/mood/river";
import { MoodState } from "@/overlay/mood/state";
import type { Theme } from "@/overlay/mood/theme";
import { WordSign } from "@/overlay/mood/words";

/** The least milliseconds between two drawings of the river, and where less motion is wanted. */
const RIVER_MS = { usual: 250, reduced: 2_000 };

export class MoodView {
  private readonly state: MoodState;
  private readonly theme: Theme;
  private readonly corner: WordSign | null;
  private readonly pacer: Pacer;

  constructor(
    private readonly root: HTMLElement,
    private readonly options: MoodOptions,
  ) {
    this.state = new MoodState(options.channel);
    this.theme = themeFor(root, options);
    const needsCorner = options.label && options.theme !== "bar";
    this.corner = needsCorner ? new WordSign(root, options.words) : null;
    this.pacer = new Pacer((now) => this.draw(now), this.theme.leastMs);
    this.pacer.request();
  }

  /** Takes in events that just came. */
  apply(events: readonly LiveEvent[]): void {
    for (const event of events) if (event.type === "mood") this.take(event, Date.now());
    this.pacer.request();
  }

  /** Takes in the events of a snapshot, which came when they say. */
  applySnapshot(events: readonly LiveEvent[]): void {
    const now = Date.now();
    for (const event of events) if (event.type === "mood") this.take(event, Math.min(event.ts, now));
    this.pacer.request();
  }

  private take(reading: MoodEvent, at: number): void {
    if (!this.state.apply(reading, at)) return;
    this.theme.remember?.({ ts: at, value: reading.value, intensity: reading.intensity ?? 0 });
  }

  private draw(now: number): number | null {
    const shown = this.state.at(now);
    this.corner?.draw(shown.label);
    this.root.dataset.label = shown.label;
    this.root.setAttribute("aria-label", `Mood of the chat: ${this.options.words[shown.label]}`);
    const own = this.theme.draw(shown, now);
    const change = this.state.untilChange(now);
    return own === null || change === null ? (own ?? change) : Math.min(own, change);
  }
}

function themeFor(root: HTMLElement, options: MoodOptions): Theme {
  if (options.theme === "bar") return new Bar(root, options.label ? options.words : null);
  if (options.theme === "glow") return new Glow(root, options.pos);
  const isReduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const leastMs = isReduced ? RIVER_MS.reduced : RIVER_MS.usual;
  return new River(root, { minutes: options.minutes, scale: options.scale, leastMs });
}
