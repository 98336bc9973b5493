/** The rows of the chat monitor. A row is never changed, only replaced, so views can compare. */
import type {
  ChatEvent,
  DecisionEvent,
  EmotionEvent,
  ModerationEvent,
  ReplyEvent,
  StreamEvent,
  TurnStartedEvent,
  TurnStatus,
} from "@/client/live-events";

interface RowBase {
  key: string;
  ts: number;
}

export interface MessageRow extends RowBase {
  kind: "message";
  message: ChatEvent;
  /** Null while the director has not decided. */
  decision: DecisionEvent | null;
  deleted: boolean;
}

export interface EventRow extends RowBase {
  kind: "event";
  event: StreamEvent;
  decision: DecisionEvent | null;
}

/** What a moderator makes of a reply; a value of 0 takes it back. */
export type Judgement =
  | { kind: "thumb"; value: 1 | -1 | 0 }
  | { kind: "edit"; text: string }
  | { kind: "note"; note: string }
  | { kind: "safety"; value: 1 | 0 };

/** The newest judgement of a reply from here, and how far it got on its way to the database. */
export interface Judged {
  judgement: Judgement;
  state: "saving" | "stored" | "failed";
}

export interface ReplyRow extends RowBase {
  kind: "reply";
  turn: string;
  persona: string;
  model: string;
  user: string;
  /** The text that is answered; empty when the start of the turn was not seen. */
  prompt: string;
  messageId: string;
  text: string;
  lastSeq: number;
  emotions: EmotionEvent[];
  status: "streaming" | TurnStatus;
  firstTokenMs: number | null;
  totalMs: number;
  error: string;
  /** The thumb that was given here. */
  thumb: 1 | -1 | 0;
  /** Whether it was marked as unsafe here. */
  isUnsafe: boolean;
  judged: Judged | null;
}

/** Something to know about the list itself: missed events, a moderator's act on a person. */
export interface NoticeRow extends RowBase {
  kind: "notice";
  text: string;
}

export type Row = MessageRow | EventRow | ReplyRow | NoticeRow;

const replyKey = (turn: string) => `reply:${turn}`;

/** A reply of which nothing is known yet but its turn. */
export function emptyReply(turn: string, ts: number): ReplyRow {
  return {
    kind: "reply",
    key: replyKey(turn),
    ts,
    turn,
    persona: "",
    model: "",
    user: "",
    prompt: "",
    messageId: "",
    text: "",
    lastSeq: -1,
    emotions: [],
    status: "streaming",
    firstTokenMs: null,
    totalMs: 0,
    error: "",
    thumb: 0,
    isUnsafe: false,
    judged: null,
  };
}

/** The reply with what the start of its turn tells. */
export function startReply(row: ReplyRow, event: TurnStartedEvent): ReplyRow {
  return {
    ...row,
    persona: event.persona,
    model: event.model,
    user: event.user,
    prompt: event.text,
    messageId: event.message_id ?? "",
  };
}

/** The reply as it ended; its text is the whole that was shown, whatever tokens were seen. */
export function endReply(row: ReplyRow, event: ReplyEvent): ReplyRow {
  return {
    ...row,
    persona: event.persona,
    model: event.model,
    user: event.user,
    messageId: event.in_reply_to ?? row.messageId,
    text: event.text,
    status: event.status,
    firstTokenMs: event.first_token_ms ?? null,
    totalMs: event.total_ms ?? 0,
    error: event.error ?? "",
  };
}

/** The notice for a moderator's act that concerns more than one message, null for a deletion. */
export function moderationNotice(event: ModerationEvent): NoticeRow | null {
  const texts = {
    delete: null,
    timeout: `${event.user ?? "A viewer"} was timed out`,
    ban: `${event.user ?? "A viewer"} was banned`,
    clear: "The chat was cleared",
  };
  const text = texts[event.kind];
  return text === null ? null : { kind: "notice", key: `mod:${event.id}`, ts: event.ts, text };
}

/** The reply with a judgement; what could not be stored is not given. */
export function judgeReply(row: ReplyRow, judged: Judged): ReplyRow {
  const { judgement, state } = judged;
  const isGiven = state !== "failed";
  switch (judgement.kind) {
    case "thumb":
      return { ...row, judged, thumb: isGiven ? judgement.value : 0 };
    case "safety":
      return { ...row, judged, isUnsafe: isGiven && judgement.value === 1 };
    default:
      return { ...row, judged };
  }
}
