/** The mood of each channel and how it went, made from the readings of the feed. */
import type { LiveEvent, MoodEvent } from "@/client/live-events";
import { MoodHistory, type MoodPoint } from "@/mood/history";

/** Milliseconds of the curve. */
export const CURVE_MS = 600_000;
/** One point of the curve stands for so many milliseconds. */
const STEP_MS = 2_000;
/** Channels that are kept; the one that was silent longest is forgotten. */
const CHANNELS = 4;
/** A reading that much older than the newest means that the channel's clock was set back. */
const SET_BACK_MS = 10_000;

export interface ChannelMood {
  channel: string;
  newest: MoodEvent;
  /** Oldest first. */
  points: readonly MoodPoint[];
}

interface Known {
  newest: MoodEvent;
  history: MoodHistory;
}

export class Moods {
  private readonly channels = new Map<string, Known>();
  private list: readonly ChannelMood[] = [];

  /** The channels by name; the same object until a reading changes it. */
  view(): readonly ChannelMood[] {
    return this.list;
  }

  /** Takes in the readings among new events. A rehearsal that starts again starts a new curve. */
  apply(events: readonly LiveEvent[]): void {
    this.takeAll(events, (event, known) => event.ts < known.ts - SET_BACK_MS);
  }

  /** Takes in the readings of a snapshot, which may repeat what is known. */
  applySnapshot(events: readonly LiveEvent[]): void {
    this.takeAll(events, () => false);
  }

  private takeAll(
    events: readonly LiveEvent[],
    isNewStart: (event: MoodEvent, known: MoodEvent) => boolean,
  ): void {
    const readings = events.filter((event) => event.type === "mood");
    for (const event of readings) {
      const known = this.channels.get(event.channel);
      const isKept = known && !isNewStart(event, known.newest);
      if (isKept && event.ts < known.newest.ts) continue;
      this.take(event, isKept ? known.history : new MoodHistory(CURVE_MS, STEP_MS));
    }
    if (readings.length > 0) this.renew();
  }

  private take(newest: MoodEvent, history: MoodHistory): void {
    history.add({ ts: newest.ts, value: newest.value, intensity: newest.intensity ?? 0 });
    // Put last, so that the first is the one that was silent longest.
    this.channels.delete(newest.channel);
    this.channels.set(newest.channel, { newest, history });
    const [oldest] = this.channels.keys();
    if (this.channels.size > CHANNELS && oldest !== undefined) this.channels.delete(oldest);
  }

  private renew(): void {
    const entries = [...this.channels].sort(([a], [b]) => a.localeCompare(b));
    this.list = entries.map(([channel, { newest, history }]) => {
      return { channel, newest, points: history.points };
    });
  }
}
