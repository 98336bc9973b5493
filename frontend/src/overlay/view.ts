/**
 * Draws chat messages and the co-host's replies into the page, newest last.
 *
 * Owns the DOM and when a row fades; every text goes in as `textContent`, because viewers write it.
 */
import { displayName } from "@/client/live-events";
import type {
  ChatEvent,
  LiveEvent,
  ModerationEvent,
  ReplyEvent,
  TokenEvent,
} from "@/client/live-events";

export interface ViewOptions {
  /** Rows shown at the same time. */
  max: number;
  /** Only this channel; empty = all. */
  channel: string;
  /** The co-host's name, shown on replies. */
  cohost: string;
}

/** Milliseconds a row stays before it fades, counted again with every token of a reply. */
export const STAY_MS = 45_000;
/** Milliseconds of the fade itself, as in `chat.css`. */
const FADE_MS = 700;

export class OverlayView {
  private readonly rows = new Map<string, HTMLElement>();
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();
  private readonly lastSeq = new Map<string, number>();

  constructor(
    private readonly root: HTMLElement,
    readonly options: ViewOptions,
  ) {}

  /** Shows what one event changes on stream; decisions and feelings change nothing. */
  apply(event: LiveEvent): void {
    if (this.options.channel && event.channel !== this.options.channel) return;
    if (event.type === "chat") this.addMessage(event);
    else if (event.type === "moderation") this.moderate(event);
    else if (event.type === "turn_started") this.replyText(event.turn);
    else if (event.type === "token") this.addToken(event);
    else if (event.type === "reply") this.endReply(event);
  }

  /** Shows the newest events of a snapshot that are still young; `now` is in ms since the epoch. */
  applySnapshot(events: readonly LiveEvent[], now: number): void {
    for (const event of events) {
      if (now - event.ts < STAY_MS) this.apply(event);
    }
  }

  private addMessage(event: ChatEvent): void {
    if (event.blocked || this.rows.has(event.id)) return;
    const row = this.addRow(event.id, `us-message us-${event.role ?? "viewer"}`);
    if (event.first) row.classList.add("us-first");
    row.dataset.user = event.user;
    row.append(part("us-name", displayName(event)), part("us-text", event.text));
  }

  private moderate(event: ModerationEvent): void {
    if (event.kind === "delete") {
      this.remove(event.message_id ?? "");
      return;
    }
    for (const [id, row] of [...this.rows]) {
      const isTheirs = row.dataset.user !== undefined && row.dataset.user === event.user;
      if (event.kind === "clear" || isTheirs) this.remove(id);
    }
  }

  private addToken(event: TokenEvent): void {
    if (event.seq <= (this.lastSeq.get(event.turn) ?? -1)) return;
    this.lastSeq.set(event.turn, event.seq);
    const text = this.replyText(event.turn);
    text.textContent += event.text;
    this.fadeLater(replyId(event.turn));
  }

  private endReply(event: ReplyEvent): void {
    this.lastSeq.delete(event.turn);
    const id = replyId(event.turn);
    if (!event.text) {
      this.remove(id);
      return;
    }
    this.replyText(event.turn).textContent = event.text;
    this.rows.get(id)?.classList.remove("us-streaming");
    this.fadeLater(id);
  }

  /** The element that holds the text of a turn's reply, made when it is not there. */
  private replyText(turn: string): HTMLElement {
    const known = this.rows.get(replyId(turn))?.querySelector<HTMLElement>(".us-text");
    if (known) return known;
    const row = this.addRow(replyId(turn), "us-reply us-streaming");
    const text = part("us-text", "");
    row.append(part("us-name", this.options.cohost), text);
    return text;
  }

  private addRow(id: string, classes: string): HTMLElement {
    const row = part(`us-row ${classes}`, "", "div");
    this.rows.set(id, row);
    this.root.append(row);
    this.fadeLater(id);
    for (const oldest of this.rows.keys()) {
      if (this.rows.size <= this.options.max) break;
      this.remove(oldest);
    }
    return row;
  }

  private fadeLater(id: string): void {
    clearTimeout(this.timers.get(id));
    const fade = () => {
      this.rows.get(id)?.classList.add("us-fading");
      this.timers.set(id, setTimeout(() => this.remove(id), FADE_MS));
    };
    this.rows.get(id)?.classList.remove("us-fading");
    this.timers.set(id, setTimeout(fade, STAY_MS));
  }

  private remove(id: string): void {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
    this.rows.get(id)?.remove();
    this.rows.delete(id);
  }
}

const replyId = (turn: string) => `reply:${turn}`;

function part(classes: string, text: string, tag: "span" | "div" = "span"): HTMLElement {
  const element = document.createElement(tag);
  element.className = classes;
  element.textContent = text;
  return element;
}
