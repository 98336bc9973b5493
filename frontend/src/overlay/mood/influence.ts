/** How the newest message colours the mood: it tints it, and never turns it over. */
import type { MoodLabel } from "@/client/live-events";

/** Share of the way to the message that the colour goes. */
const PULL = 0.25;
/** The furthest one message may pull. */
export const FURTHEST = 0.15;
/** A mood with a side stays at least this far on it, as long as its value does. */
const LEAST = 0.05;
/** A message tints a neutral chat no further than this, unless its value is beyond already. */
const NEUTRAL = 0.2;

/**
 * The mood whose colour is shown while `message` is the newest: at most `FURTHEST` from `value`
 * and on the side that `label` names. All numbers are -1 to 1.
 */
export function influenced(value: number, message: number, label: MoodLabel): number {
  const pull = Math.min(FURTHEST, Math.max(-FURTHEST, (message - value) * PULL));
  const pulled = value + pull;
  if (label === "positive") return Math.max(pulled, Math.min(value, LEAST));
  if (label === "negative") return Math.min(pulled, Math.max(value, -LEAST));
  const edge = Math.max(NEUTRAL, Math.abs(value));
  return Math.min(edge, Math.max(-edge, pulled));
}
