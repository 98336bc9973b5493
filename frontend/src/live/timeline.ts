/**
 * Turns the events of the feed into the rows of the chat monitor and counts what they were.
 *
 * Owns joining (decision to message, token to reply), order and forgetting; knows nothing of
 * sockets or React. Events may come twice (a snapshot after a reconnect) and a decision may come
 * before its message.
 */
import type {
  ChatEvent,
  DecisionEvent,
  EmotionEvent,
  LiveEvent,
  ModerationEvent,
  ReplyEvent,
  TokenEvent,
  TurnStartedEvent,
} from "@/client/live-events";
import { Ring } from "@/live/ring";
import { type Judged, type ReplyRow, type Row, emptyReply, endReply } from "@/live/rows";
import { judgeReply, moderationNotice, startReply } from "@/live/rows";

/** Rows kept; older ones are forgotten. */
export const CAPACITY = 2_000;
/** Decisions and deletions kept for messages that have not come yet. */
const EARLY_CAPACITY = 500;

export interface Counts {
  messages: number;
  events: number;
  answered: number;
  blocked: number;
  skipped: number;
  /** Skipped and blocked messages by reason code. */
  reasons: ReadonlyMap<string, number>;
}

export interface TimelineView {
  rows: readonly Row[];
  /** Position of the first row; rises when rows are forgotten. */
  start: number;
  end: number;
  counts: Counts;
}

export class Timeline {
  private readonly ring: Ring<Row>;
  private readonly positions = new Map<string, number>();
  private readonly earlyDecisions = new Map<string, DecisionEvent>();
  private readonly earlyDeletions = new Map<string, true>();
  private readonly reasons = new Map<string, number>();
  private totals = { messages: 0, events: 0, answered: 0, blocked: 0, skipped: 0 };

  /** `capacity` is the number of rows kept. */
  constructor(capacity = CAPACITY) {
    this.ring = new Ring(capacity);
  }

  /** Everything there is to show now. */
  view(): TimelineView {
    const counts = { ...this.totals, reasons: new Map(this.reasons) };
    return { rows: this.ring.toArray(), start: this.ring.start, end: this.ring.end, counts };
  }

  /** The row with this key as it is now; undefined when it is forgotten. */
  row(key: string): Row | undefined {
    const position = this.positions.get(key);
    return position === undefined ? undefined : this.ring.get(position);
  }

  /** Takes in one event. */
  apply(event: LiveEvent): void {
    switch (event.type) {
      case "chat":
      case "stream_event":
        this.addIncoming(event);
        break;
      case "decision":
        this.decide(event);
        break;
      case "moderation":
        this.moderate(event);
        break;
      case "mood":
        // A curve, not a row.
        break;
      default:
        this.applyToReply(event);
    }
  }

  /** Takes in the events of a snapshot; says so when something before them was missed. */
  applySnapshot(events: readonly LiveEvent[]): void {
    const oldest = events[0];
    const hadRows = this.ring.end > 0;
    const overlaps = events.some((event) => this.positions.has(event.id));
    if (hadRows && oldest && !overlaps) {
      this.addNotice(`gap:${oldest.id}`, oldest.ts, "Reconnected: something may be missing here");
    }
    for (const event of events) this.apply(event);
  }

  /** Marks that the server left out `missed` events because this page was too slow. */
  addGap(missed: number, ts: number): void {
    const text = missed === 1 ? "1 event was left out" : `${missed} events were left out`;
    this.addNotice(`gap:${ts}:${this.ring.end}`, ts, `${text}: this page could not keep up`);
  }

  /** Notes what was made of a reply; does nothing when the reply is forgotten. */
  judge(turn: string, judged: Judged): void {
    const row = this.row(emptyReply(turn, 0).key);
    if (row?.kind === "reply") this.replace(judgeReply(row, judged));
  }

  private addIncoming(event: Extract<LiveEvent, { type: "chat" | "stream_event" }>): void {
    if (this.positions.has(event.id)) return;
    const base = { key: event.id, ts: event.ts, decision: null };
    if (event.type === "chat") {
      const deleted = this.earlyDeletions.delete(event.id);
      this.add({ ...base, kind: "message", message: event, deleted });
      this.totals.messages += 1;
    } else {
      this.add({ ...base, kind: "event", event });
      this.totals.events += 1;
    }
    const early = this.earlyDecisions.get(event.id);
    this.earlyDecisions.delete(event.id);
    if (early) this.decide(early);
  }

  private decide(decision: DecisionEvent): void {
    const row = this.row(decision.message_id);
    if (row?.kind !== "message" && row?.kind !== "event") {
      remember(this.earlyDecisions, decision.message_id, decision);
      return;
    }
    if (row.decision) this.count(row.decision, -1);
    this.count(decision, 1);
    this.replace({ ...row, decision });
  }

  private count(decision: DecisionEvent, step: 1 | -1): void {
    this.totals[decision.action] += step;
    if (decision.action === "answered") return;
    const left = (this.reasons.get(decision.reason) ?? 0) + step;
    if (left > 0) this.reasons.set(decision.reason, left);
    else this.reasons.delete(decision.reason);
  }

  private moderate(event: ModerationEvent): void {
    if (event.kind === "delete") {
      this.deleteMessage(event.message_id ?? "");
      return;
    }
    const notice = moderationNotice(event);
    if (!notice || this.positions.has(notice.key)) return;
    for (const row of this.ring.toArray()) {
      if (row.kind === "message" && concerns(event, row.message)) {
        this.replace({ ...row, deleted: true });
      }
    }
    this.add(notice);
  }

  private deleteMessage(id: string): void {
    const row = this.row(id);
    if (row?.kind === "message") this.replace({ ...row, deleted: true });
    else if (id) remember(this.earlyDeletions, id, true);
  }

  private applyToReply(event: TurnStartedEvent | TokenEvent | EmotionEvent | ReplyEvent): void {
    const blank = emptyReply(event.turn, event.ts);
    if (!this.positions.has(blank.key)) this.add(blank);
    const row = this.row(blank.key);
    if (row?.kind !== "reply") return;
    const next = changeReply(row, event);
    if (next !== row) this.replace(next);
  }

  private addNotice(key: string, ts: number, text: string): void {
    if (!this.positions.has(key)) this.add({ kind: "notice", key, ts, text });
  }

  private add(row: Row): void {
    this.positions.set(row.key, this.ring.end);
    const evicted = this.ring.push(row);
    if (evicted) this.positions.delete(evicted.key);
  }

  private replace(row: Row): void {
    const position = this.positions.get(row.key);
    if (position !== undefined) this.ring.set(position, row);
  }
}

function concerns(act: ModerationEvent, message: ChatEvent): boolean {
  if (message.channel !== act.channel) return false;
  return act.kind === "clear" || message.user === act.user;
}

function changeReply(
  row: ReplyRow,
  event: TurnStartedEvent | TokenEvent | EmotionEvent | ReplyEvent,
): ReplyRow {
  if (event.type === "turn_started") return startReply(row, event);
  if (event.type === "reply") return endReply(row, event);
  if (event.type === "emotion") {
    if (row.emotions.some((known) => known.id === event.id)) return row;
    return { ...row, emotions: [...row.emotions, event] };
  }
  const isOld = row.status !== "streaming" || event.seq <= row.lastSeq;
  return isOld ? row : { ...row, text: row.text + event.text, lastSeq: event.seq };
}

function remember<V>(early: Map<string, V>, key: string, value: V): void {
  early.set(key, value);
  if (early.size <= EARLY_CAPACITY) return;
  const oldest = early.keys().next();
  if (!oldest.done) early.delete(oldest.value);
}
