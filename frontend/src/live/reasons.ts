/** Short labels for the reason codes of the director's decisions. */
const LABELS: Record<string, string> = {
  mention: "talked to me",
  reply_to_cohost: "replied to me",
  question: "asked the room",
  quiet_chat: "quiet chat",
  stream_event: "thanks due",
  addressed_to_other: "talks to someone else",
  not_addressed: "not for me",
  own_message: "my own message",
  bot: "a bot",
  command: "a command",
  muted: "muted",
  cooldown: "cooling down",
  expired: "waited too long",
  outranked: "better ones waiting",
  superseded: "wrote again",
  crowd: "asked by others too",
  fair_share: "had their share",
  silent_control: "left unanswered on purpose",
  quiet_ask: "spoke by itself",
  quiet_continue: "spoke by itself",
  deleted: "deleted",
  no_template: "nothing to say",
  blocked_word: "blocked word",
  stream_ended: "stream ended",
  unavailable: "brain unavailable",
  self_harm: "self-harm",
  repetition: "one character over and over",
  symbols: "only symbols",
  zalgo: "unreadable marks",
  link: "a link",
};

/** The label of a reason code; an unknown code is shown as words. */
export function reasonLabel(code: string): string {
  return LABELS[code] ?? (code.replace(/[_-]+/g, " ").trim() || "no reason given");
}
