/**
 * Decides when the overlay is drawn: soon after something changed, never more often than the theme
 * wants, and not at all while nothing changes.
 */
export class Pacer {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private due: number | null = null;
  private last = -Infinity;

  /**
   * `draw` gets the time and returns the milliseconds after which it wants to draw again of its own
   * accord, or null. `leastMs` lie between two drawings.
   */
  constructor(
    private readonly draw: (now: number) => number | null,
    private readonly leastMs: number,
  ) {}

  /** Draws in `wait` milliseconds, or when the last drawing is long enough ago. */
  request(wait = 0): void {
    const now = Date.now();
    const due = Math.max(now + wait, this.last + this.leastMs);
    if (this.due !== null && this.due <= due) return;
    clearTimeout(this.timer);
    this.due = due;
    // The frame comes after the timer, so a page that is hidden waits and then draws once.
    this.timer = setTimeout(() => requestAnimationFrame(() => this.run()), due - now);
  }

  private run(): void {
    this.due = null;
    this.last = Date.now();
    const wait = this.draw(this.last);
    if (wait !== null) this.request(wait);
  }
}
