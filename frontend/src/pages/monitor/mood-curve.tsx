/** The mood of a channel in the last ten minutes as a small curve, coloured by its height. */
import { useId } from "react";
import { CURVE_MS } from "@/live/moods";
import type { MoodPoint } from "@/mood/history";
import styles from "@/pages/monitor/mood-curve.module.css";

const WIDTH = 240;
const HEIGHT = 56;
/** Room for the dot at the newest point. */
const MARGIN = 5;

interface MoodCurveProps {
  /** Oldest first; nothing is drawn for none. */
  points: readonly MoodPoint[];
  /** What the curve says, for those who cannot see it. */
  label: string;
}

/** The right edge is the newest point; above the middle is positive. */
export function MoodCurve({ points, label }: MoodCurveProps) {
  const id = useId();
  const places = curve(points);
  const last = places.at(-1);
  const line = places.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const colour = `url(#${id})`;
  return (
    <svg className={styles.curve} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      <linearGradient id={id} gradientUnits="userSpaceOnUse" x1="0" x2="0" y1={y(1)} y2={y(-1)}>
        <stop offset="0" className={styles.hype} />
        <stop offset="0.25" className={styles.happy} />
        <stop offset="0.5" className={styles.calm} />
        <stop offset="0.75" className={styles.tense} />
        <stop offset="1" className={styles.hostile} />
      </linearGradient>
      <line className={styles.neutral} x1="0" x2={WIDTH} y1={y(0)} y2={y(0)} />
      {last && (
        <>
          <polygon className={styles.area} fill={colour} points={area(line, places, last)} />
          <polyline className={styles.line} stroke={colour} points={line} />
          <circle fill={colour} cx={last.x} cy={last.y} r="3.5" />
        </>
      )}
    </svg>
  );
}

interface Place {
  x: number;
  y: number;
}

function curve(points: readonly MoodPoint[]): Place[] {
  const end = points.at(-1)?.ts ?? 0;
  const right = WIDTH - MARGIN;
  return points.map(({ ts, value }) => ({
    x: right - ((end - ts) / CURVE_MS) * right,
    y: y(value),
  }));
}

function area(line: string, places: readonly Place[], last: Place): string {
  const first = places[0] ?? last;
  return `${first.x.toFixed(1)},${y(0)} ${line} ${last.x.toFixed(1)},${y(0)}`;
}

function y(value: number): number {
  return HEIGHT / 2 - value * (HEIGHT / 2 - MARGIN);
}
