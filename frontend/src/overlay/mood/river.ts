/** The theme "river": how the mood went in the last minutes; high is happy, broad is lively. */
import { MoodHistory, type MoodPoint } from "@/mood/history";
import { moodRgb } from "@/mood/palette";
import { type Sample, sampleRiver } from "@/overlay/mood/ribbon";
import { REST, type Shown } from "@/overlay/mood/state";
import type { Theme } from "@/overlay/mood/theme";

/** Distance of the samples, in pixels. */
const STEP = 4;
/** Colours along the river; between them the canvas mixes. */
const COLOURS = 48;
/** Share of the width on which the river fades in. */
const FADE = 0.22;
/** Bands on top of each other make its soft edge: share of the breadth and opacity of each. */
const BANDS = Array.from({ length: 14 }, (_, n) => {
  const inward = n / 13;
  return { breadth: 1 - 0.9 * inward, alpha: 0.028 + 0.19 * inward ** 1.6 };
});
/** Milliseconds between two drawings while it flows and nothing new comes. */
const FLOW_MS = 1_000;
/** Pixels on which it narrows towards its head. */
const TAPER = 120;

export interface RiverOptions {
  /** Minutes that are shown. */
  minutes: number;
  scale: number;
  /** The least milliseconds between two drawings. */
  leastMs: number;
}

export class River implements Theme {
  readonly leastMs: number;
  private readonly canvas = document.createElement("canvas");
  private readonly history: MoodHistory;
  private readonly spanMs: number;

  constructor(
    root: HTMLElement,
    private readonly options: RiverOptions,
  ) {
    this.leastMs = options.leastMs;
    this.spanMs = options.minutes * 60_000;
    this.history = new MoodHistory(this.spanMs + 60_000);
    this.canvas.className = "us-river";
    root.append(this.canvas);
  }

  remember(point: MoodPoint): void {
    this.history.add(point);
  }

  draw(shown: Shown, now: number): number | null {
    const last = this.history.points.at(-1);
    if (shown === REST && last?.intensity) this.history.add({ ...REST, ts: now });
    const width = this.canvas.clientWidth;
    const count = Math.max(2, Math.round(width / STEP));
    const samples = sampleRiver(this.history.points, now, this.spanMs, count);
    const pen = this.fit();
    if (pen) new RiverPainter(pen, this.canvas, this.options.scale).paint(samples, shown.tone);
    return samples.some(({ value, intensity }) => value || intensity) ? FLOW_MS : null;
  }

  /** Clears the canvas and makes it as large as the page shows it. */
  private fit(): CanvasRenderingContext2D | null {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    const pen = this.canvas.getContext("2d");
    pen?.scale(ratio, ratio);
    return pen;
  }
}

/** Draws one picture of the river. */
class RiverPainter {
  private readonly width: number;
  private readonly middle: number;
  private readonly reach: number;
  private readonly broadest: number;

  constructor(
    private readonly pen: CanvasRenderingContext2D,
    { clientWidth, clientHeight }: HTMLElement,
    private readonly scale: number,
  ) {
    // Room for the head at the right end and for the breadth above and below.
    this.width = clientWidth - 22 * scale;
    this.middle = clientHeight / 2;
    this.broadest = clientHeight * 0.22;
    this.reach = this.middle - this.broadest * 0.8;
  }

  paint(samples: readonly Sample[], tone: number): void {
    const colours = this.colours(samples);
    this.pen.fillStyle = this.pen.strokeStyle = colours;
    for (const { breadth, alpha } of BANDS) this.band(samples, breadth, alpha);
    this.pen.globalAlpha = 1;
    this.line(samples);
    const head = samples.at(-1);
    if (head) this.head(head, tone);
  }

  private x({ place }: Sample): number {
    return place * this.width;
  }

  private y({ value }: Sample): number {
    return this.middle - value * this.reach;
  }

  private half(sample: Sample): number {
    const left = Math.min(1, (this.width - this.x(sample)) / (TAPER * this.scale));
    const taper = 0.12 + 0.88 * Math.sin((left * Math.PI) / 2) ** 1.4;
    return (4 * this.scale + this.broadest * sample.intensity) * taper;
  }

  private band(samples: readonly Sample[], breadth: number, alpha: number): void {
    const { pen } = this;
    pen.beginPath();
    for (const each of samples) pen.lineTo(this.x(each), this.y(each) - this.half(each) * breadth);
    for (const each of [...samples].reverse()) {
      pen.lineTo(this.x(each), this.y(each) + this.half(each) * breadth);
    }
    pen.closePath();
    pen.globalAlpha = alpha;
    pen.fill();
  }

  private line(samples: readonly Sample[]): void {
    const { pen } = this;
    pen.beginPath();
    for (const each of samples) pen.lineTo(this.x(each), this.y(each));
    pen.lineWidth = 2.5 * this.scale;
    pen.lineJoin = "round";
    pen.save();
    // A dark edge, so that a calm river is seen over a bright game too.
    pen.shadowColor = "rgba(12,14,20,0.9)";
    pen.shadowBlur = 6 * this.scale;
    pen.stroke();
    pen.restore();
  }

  /** The colours from left to right, coming up out of nothing. */
  private colours(samples: readonly Sample[]): CanvasGradient {
    const gradient = this.pen.createLinearGradient(0, 0, this.width, 0);
    const stride = Math.max(1, Math.floor(samples.length / COLOURS));
    for (let n = 0; n < samples.length; n += stride) {
      const { place, value } = samples[n] as Sample;
      gradient.addColorStop(place, rgba(value, Math.min(1, place / FADE) ** 1.5));
    }
    return gradient;
  }

  private head(head: Sample, tone: number): void {
    const { pen, scale } = this;
    const [x, y] = [this.x(head), this.y(head)];
    const size = (9 + 9 * head.intensity) * scale;
    const glow = pen.createRadialGradient(x, y, 0, x, y, size);
    glow.addColorStop(0, rgba(tone, 0.95));
    glow.addColorStop(0.45, rgba(tone, 0.5));
    glow.addColorStop(1, rgba(tone, 0));
    this.disc(x, y, size, glow);
    this.disc(x, y, 5.5 * scale, rgba(tone, 1));
    this.disc(x, y, 3 * scale, "#fff");
  }

  private disc(x: number, y: number, radius: number, fill: string | CanvasGradient): void {
    const { pen } = this;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fillStyle = fill;
    pen.fill();
  }
}

function rgba(value: number, alpha: number): string {
  return `rgba(${moodRgb(value).join(",")},${alpha.toFixed(3)})`;
}
