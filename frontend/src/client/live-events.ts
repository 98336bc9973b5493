/**
 * The events of the live feed as the server encodes them (`src/understudy/events.py`).
 *
 * Fields that have a default on the server are left out of the JSON when they hold it, hence the
 * many optional ones. Times are milliseconds since the Unix epoch, UTC.
 */

export type Role = "streamer" | "moderator" | "vip" | "subscriber" | "viewer";
export type TurnStatus = "complete" | "stopped" | "replaced" | "abandoned" | "failed";
export type MoodLabel = "negative" | "neutral" | "positive";
export type DecisionAction = "answered" | "skipped" | "blocked";

interface EventBase {
  id: string;
  channel: string;
  ts: number;
}

export interface ChatEvent extends EventBase {
  type: "chat";
  user: string;
  text: string;
  name?: string;
  platform?: string;
  role?: Role;
  reply_to?: string;
  reply_to_user?: string;
  first?: boolean;
  /** Kept out by the input filter: never shown on stream. */
  blocked?: boolean;
  tags?: Record<string, string>;
}

export interface StreamEvent extends EventBase {
  type: "stream_event";
  kind: "sub" | "resub" | "gift" | "raid" | "cheer" | "follow" | "other";
  user: string;
  name?: string;
  platform?: string;
  amount?: number;
  text?: string;
  tags?: Record<string, string>;
}

export interface ModerationEvent extends EventBase {
  type: "moderation";
  kind: "delete" | "timeout" | "ban" | "clear";
  message_id?: string;
  user?: string;
}

export interface DecisionEvent extends EventBase {
  type: "decision";
  message_id: string;
  user: string;
  action: DecisionAction;
  reason: string;
  detail?: string;
  score?: number;
  turn?: string;
}

export interface TurnStartedEvent extends EventBase {
  type: "turn_started";
  turn: string;
  session: string;
  persona: string;
  model: string;
  user: string;
  text: string;
  message_id?: string;
}

export interface TokenEvent extends EventBase {
  type: "token";
  turn: string;
  seq: number;
  text: string;
}

export interface EmotionEvent extends EventBase {
  type: "emotion";
  turn: string;
  name: string;
  intensity?: number;
}

export interface ReplyEvent extends EventBase {
  type: "reply";
  turn: string;
  session: string;
  user: string;
  text: string;
  status: TurnStatus;
  model: string;
  persona: string;
  in_reply_to?: string;
  first_token_ms?: number | null;
  total_ms?: number;
  error?: string;
}

/** The mood of a chat. */
export interface MoodEvent extends EventBase {
  type: "mood";
  /** The mean, -1 (negative) to 1. */
  value: number;
  /** Changes later than the value does. */
  label: MoodLabel;
  /** How much is going on, 0 to 1. */
  intensity?: number;
  /** The score of the newest message that counted, -1 to 1. */
  message?: number;
  /** How many messages the reading rests on. */
  count?: number;
}

export type LiveEvent =
  | ChatEvent
  | StreamEvent
  | ModerationEvent
  | DecisionEvent
  | TurnStartedEvent
  | TokenEvent
  | EmotionEvent
  | ReplyEvent
  | MoodEvent;

/** Who is on stage and how; part of every snapshot and of `GET /api/v1/status`. */
export interface LiveState {
  cohost: string;
  persona: string;
  brain: { provider: string; model: string; description: string; why?: string };
  channels: string[];
  muted: boolean;
  version: string;
}

export interface SnapshotFrame {
  type: "snapshot";
  id: string;
  state: LiveState;
  events: LiveEvent[];
}

export interface EventsFrame {
  type: "events";
  id: string;
  events: LiveEvent[];
}

export interface GapFrame {
  type: "gap";
  missed: number;
}

export type LiveFrame = SnapshotFrame | EventsFrame | GapFrame;

/** Sent every 15 s when there is nothing to tell. */
export interface PingFrame {
  type: "ping";
}

/** The name to show for the author of an event. */
export function displayName(event: { user: string; name?: string }): string {
  return event.name || event.user;
}
