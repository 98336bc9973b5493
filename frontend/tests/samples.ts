/** Events for tests: only what a test is about has to be given. */
import type {
  ChatEvent,
  DecisionEvent,
  LiveState,
  ModerationEvent,
  MoodEvent,
  ReplyEvent,
  StreamEvent,
  TokenEvent,
  TurnStartedEvent,
} from "@/client/live-events";

const BASE = { channel: "#demo", ts: 1_000 };
const TURN = { turn: "t1", session: "s1", persona: "default", model: "scripted", user: "mika" };

export const STATE: LiveState = {
  cohost: "Undy",
  persona: "default",
  brain: { provider: "scripted", model: "scripted", description: "Rules, no language model." },
  channels: ["#demo"],
  muted: false,
  version: "0.1.0",
};

export function chat(id: string, more: Partial<ChatEvent> = {}): ChatEvent {
  return { ...BASE, type: "chat", id, user: "mika", text: `text of ${id}`, ...more };
}

export function streamEvent(id: string, more: Partial<StreamEvent> = {}): StreamEvent {
  return { ...BASE, type: "stream_event", id, kind: "raid", user: "orbit", amount: 12, ...more };
}

export function decision(of: string, more: Partial<DecisionEvent> = {}): DecisionEvent {
  const fate = { action: "skipped", reason: "not_addressed" } as const;
  const about = { id: `d-${of}`, message_id: of, user: "mika" };
  return { ...BASE, ...fate, ...about, type: "decision", ...more };
}

export function moderation(id: string, more: Partial<ModerationEvent> = {}): ModerationEvent {
  return { ...BASE, type: "moderation", id, kind: "delete", ...more };
}

export function turnStarted(more: Partial<TurnStartedEvent> = {}): TurnStartedEvent {
  return { ...BASE, ...TURN, type: "turn_started", id: "ts1", text: "hello?", ...more };
}

export function token(seq: number, text: string, turn = "t1"): TokenEvent {
  return { ...BASE, type: "token", id: `${turn}-${seq}`, turn, seq, text };
}

export function reply(more: Partial<ReplyEvent> = {}): ReplyEvent {
  const said = { id: "r1", text: "Hi Mika!", status: "complete" } as const;
  return { ...BASE, ...TURN, ...said, type: "reply", ...more };
}

export function mood(value: number, more: Partial<MoodEvent> = {}): MoodEvent {
  const label = value > 0.2 ? "positive" : value < -0.2 ? "negative" : "neutral";
  return { ...BASE, type: "mood", id: `mood${value}`, value, label, ...more };
}
