/** A made-up evening that shows how the overlay looks while nobody chats. */
import type { MoodEvent, MoodLabel } from "@/client/live-events";

/** Milliseconds between two readings of the sample. */
export const SAMPLE_EVERY_MS = 1_000;

/** The reading of the sample at `ts` (ms since the epoch): always the same at the same time. */
export function sampleReading(ts: number): MoodEvent {
  const wave = (seconds: number) => Math.sin((2 * Math.PI * ts) / (1_000 * seconds));
  const value = 0.62 * wave(67) + 0.28 * wave(23);
  const intensity = 0.5 + 0.3 * wave(41) + 0.15 * wave(13);
  const message = Math.min(1, Math.max(-1, value + 0.8 * wave(7)));
  const label = labelOf(value);
  return { type: "mood", id: `s${ts}`, channel: "sample", ts, value, intensity, message, label };
}

function labelOf(value: number): MoodLabel {
  if (value > 0.2) return "positive";
  return value < -0.2 ? "negative" : "neutral";
}
