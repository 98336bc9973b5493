/**
 * The live data of the app outside React: the timeline, the moods, the state of the connection.
 *
 * Events are taken in at once and shown once per animation frame, so a burst costs one render.
 */
import type { LiveFrame, LiveState } from "@/client/live-events";
import { type ChannelMood, Moods } from "@/live/moods";
import type { Judged } from "@/live/rows";
import type { SocketState } from "@/client/live-socket";
import { Timeline, type TimelineView } from "@/live/timeline";

export interface LiveView {
  timeline: TimelineView;
  moods: readonly ChannelMood[];
  connection: SocketState;
}

export class LiveStore {
  private readonly timeline = new Timeline();
  private readonly moods = new Moods();
  private readonly listeners = new Set<() => void>();
  private connection: SocketState = "connecting";
  private view: LiveView = this.newView();
  private scheduled = false;

  /** `onState` gets the state in each snapshot; `schedule` runs its argument before a paint. */
  constructor(
    private readonly onState: (state: LiveState) => void,
    private readonly schedule: (flush: () => void) => void = nextFrame,
  ) {}

  /** For `useSyncExternalStore`. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** For `useSyncExternalStore`: the same object until the next flush. */
  readonly getSnapshot = (): LiveView => this.view;

  /** Takes in one frame of the feed. */
  receive(frame: LiveFrame): void {
    if (frame.type === "snapshot") {
      this.timeline.applySnapshot(frame.events);
      this.moods.applySnapshot(frame.events);
      this.onState(frame.state);
    } else if (frame.type === "events") {
      for (const event of frame.events) this.timeline.apply(event);
      this.moods.apply(frame.events);
    } else {
      this.timeline.addGap(frame.missed, Date.now());
    }
    this.flushSoon();
  }

  /** Notes whether the feed is connected. */
  setConnection(connection: SocketState): void {
    if (connection === this.connection) return;
    this.connection = connection;
    this.flushSoon();
  }

  /** Notes what was made of the reply of a turn. */
  judge(turn: string, judged: Judged): void {
    this.timeline.judge(turn, judged);
    this.flushSoon();
  }

  private flushSoon(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.schedule(() => {
      this.scheduled = false;
      this.view = this.newView();
      for (const listener of this.listeners) listener();
    });
  }

  private newView(): LiveView {
    const { connection } = this;
    return { timeline: this.timeline.view(), moods: this.moods.view(), connection };
  }
}

function nextFrame(flush: () => void): void {
  requestAnimationFrame(flush);
}
