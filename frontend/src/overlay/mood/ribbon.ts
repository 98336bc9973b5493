/** The shape of the river: the mood of the last minutes, sampled from left to right. */
import type { MoodPoint } from "@/mood/history";

/** A place of the river; `value` and `intensity` as in a reading. */
export interface Sample {
  /** 0 at the left, 1 at the right. */
  place: number;
  value: number;
  intensity: number;
}

/** A gap longer than this held its value until so long before the next point, in milliseconds. */
const BEND_MS = 4_000;

/** `count` samples of the `spanMs` before `now`; before the first point the chat was calm. */
export function sampleRiver(
  points: readonly MoodPoint[],
  now: number,
  spanMs: number,
  count: number,
): Sample[] {
  const samples: Sample[] = [];
  let next = 0;
  for (let n = 0; n < count; n++) {
    const place = n / (count - 1);
    const ts = now - spanMs * (1 - place);
    while (next < points.length && (points[next] as MoodPoint).ts <= ts) next += 1;
    samples.push({ place, ...between(points[next - 1], points[next], ts) });
  }
  return samples;
}

function between(from: MoodPoint | undefined, to: MoodPoint | undefined, ts: number) {
  const start = from ?? { ts: -Infinity, value: 0, intensity: 0 };
  if (!to) return { value: start.value, intensity: start.intensity };
  const bend = Math.max(start.ts, to.ts - BEND_MS);
  const share = Math.min(1, Math.max(0, (ts - bend) / Math.max(1, to.ts - bend)));
  const eased = share * share * (3 - 2 * share);
  const mix = (a: number, b: number) => a + (b - a) * eased;
  return {
    value: mix(start.value, to.value),
    intensity: mix(start.intensity, to.intensity),
  };
}
