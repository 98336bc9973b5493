/**
 * What the mood overlay has to show at a moment, made from the readings that came.
 *
 * Owns which channel is followed and what time does to a reading; knows nothing of the page. Times
 * are milliseconds of one clock, the caller's.
 */
import type { MoodEvent, MoodLabel } from "@/client/live-events";
import { influenced } from "@/overlay/mood/influence";

/** Milliseconds the newest message tints the colour. */
export const TINT_MS = 4_000;
/** Milliseconds without a reading after which the chat counts as quiet. */
export const QUIET_MS = 90_000;

export interface Shown {
  /** The mood, -1 to 1. */
  value: number;
  /** The mood whose colour is shown: `value`, tinted by the newest message. */
  tone: number;
  /** 0 to 1. */
  intensity: number;
  label: MoodLabel;
  /** Score of the newest message, -1 to 1; null when it is no longer new. */
  message: number | null;
}

/** What is shown of a chat in which nothing happens. */
export const REST: Shown = { value: 0, tone: 0, intensity: 0, label: "neutral", message: null };

export class MoodState {
  private reading: MoodEvent | null = null;
  private since = 0;
  private messageSince = 0;

  /** Follows `channel`; when it is empty, the first that speaks until that one falls quiet. */
  constructor(private readonly channel = "") {}

  /** Takes in a reading of the time `at`; false when it is of a channel that is not followed. */
  apply(reading: MoodEvent, at: number): boolean {
    if (this.channel ? reading.channel !== this.channel : this.isTaken(reading, at)) return false;
    if (!this.reading || tellsOfMessage(reading, this.reading)) this.messageSince = at;
    this.reading = reading;
    this.since = at;
    return true;
  }

  /** What there is to show at `now`. */
  at(now: number): Shown {
    const { reading } = this;
    const age = now - this.since;
    if (!reading || age >= QUIET_MS) return REST;
    const { value, label, intensity = 0, message = 0 } = reading;
    const isNew = now - this.messageSince < TINT_MS;
    const tone = isNew ? influenced(value, message, label) : value;
    return { value, tone, intensity, label, message: isNew ? message : null };
  }

  /** Milliseconds from `now` until something else is shown without a reading; null when never. */
  untilChange(now: number): number | null {
    if (!this.reading) return null;
    const untilQuiet = this.since + QUIET_MS - now;
    if (untilQuiet <= 0) return null;
    const untilSettled = this.messageSince + TINT_MS - now;
    return untilSettled > 0 ? untilSettled : untilQuiet;
  }

  private isTaken(reading: MoodEvent, at: number): boolean {
    const followed = this.reading;
    return !!followed && followed.channel !== reading.channel && at - this.since < QUIET_MS;
  }
}

/** Readings also come while nobody writes, because a mood fades; those repeat the last message. */
function tellsOfMessage(reading: MoodEvent, before: MoodEvent): boolean {
  return (
    reading.channel !== before.channel ||
    (reading.message ?? 0) !== (before.message ?? 0) ||
    (reading.count ?? 0) > (before.count ?? 0)
  );
}
