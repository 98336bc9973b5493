/** Made-up events that show how the overlay looks while nobody writes. */
import type { LiveEvent } from "@/client/live-events";

const CHANNEL = "sample";
const REPLY = "The boss has three phases, and panic is not one of them. Breathe, dodge left.";

/** The events of the sample, all at time `ts` (ms since the epoch). */
export function sampleEvents(ts: number): LiveEvent[] {
  const base = { channel: CHANNEL, ts };
  const turn = "sample-turn";
  return [
    { ...base, type: "chat", id: "s1", user: "mika", name: "Mika", text: "that jump was so clean" },
    {
      ...base,
      type: "chat",
      id: "s2",
      user: "orbit",
      name: "Orbit",
      role: "moderator",
      text: "welcome in everyone, be kind",
    },
    {
      ...base,
      type: "chat",
      id: "s3",
      user: "new_here",
      name: "new_here",
      first: true,
      text: "hi, first time here!",
    },
    {
      ...base,
      type: "chat",
      id: "s4",
      user: "lumen",
      name: "Lumen",
      role: "subscriber",
      text: "any tips for the second boss?",
    },
    {
      ...base,
      type: "reply",
      id: "s5",
      turn,
      session: "sample",
      user: "lumen",
      text: REPLY,
      status: "complete",
      model: "sample",
      persona: "default",
    },
  ];
}
