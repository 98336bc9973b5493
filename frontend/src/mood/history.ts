/** How the mood of one chat went: a bounded list of points, oldest first. */

export interface MoodPoint {
  /** Milliseconds; the clock is the caller's. */
  ts: number;
  /** -1 to 1. */
  value: number;
  /** 0 to 1. */
  intensity: number;
}

export class MoodHistory {
  private list: MoodPoint[] = [];

  /** Keeps `keepMs` milliseconds, one point per `stepMs`: the newest of each step. */
  constructor(
    private readonly keepMs: number,
    private readonly stepMs = 1_000,
  ) {}

  /** The points, oldest first; a new list after every change. */
  get points(): readonly MoodPoint[] {
    return this.list;
  }

  /** Adds a point; one that is older than the newest known is left out. */
  add(point: MoodPoint): void {
    const last = this.list.at(-1);
    if (last && point.ts < last.ts) return;
    const isSameStep = last && this.stepOf(point) === this.stepOf(last);
    const kept = isSameStep ? this.list.slice(0, -1) : this.list;
    this.list = [...kept.filter(({ ts }) => ts >= point.ts - this.keepMs), point];
  }

  private stepOf({ ts }: MoodPoint): number {
    return Math.floor(ts / this.stepMs);
  }
}
