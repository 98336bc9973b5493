import { expect, test } from "vitest";
import { DEFAULT_CHAT, chatQuery } from "@/pages/overlays/chat-options";
import { DEFAULT_MOOD, moodQuery } from "@/pages/overlays/mood-options";
import { type OverlayName, type Query, overlayUrl } from "@/pages/overlays/overlay-url";
import { readMoodOptions } from "@/overlay/mood/options";

const address = (overlay: OverlayName, query: Query) => {
  const { pathname, search } = overlayUrl(overlay, query);
  return pathname + search;
};

test("what is at its default stays out of the address", () => {
  expect(address("chat", chatQuery(DEFAULT_CHAT))).toBe("/overlay/chat");
  expect(address("chat", chatQuery({ scale: 1.5, max: 3 }))).toBe("/overlay/chat?scale=1.5&max=3");
  expect(address("chat", { key: "K" })).toBe("/overlay/chat?key=K");
});

test("a theme's address holds only what it takes", () => {
  const all = { pos: "top", minutes: 10, scale: 1 } as const;
  const of = (theme: "glow" | "bar" | "river") => address("mood", moodQuery({ ...all, theme }));
  expect(of("glow")).toBe("/overlay/mood?theme=glow&pos=top");
  expect(of("bar")).toBe("/overlay/mood?theme=bar");
  expect(of("river")).toBe("/overlay/mood?theme=river&minutes=10");
});

test("the overlay reads what the page wrote", () => {
  const options = { ...DEFAULT_MOOD, theme: "river", minutes: 12, scale: 2 } as const;
  const { search } = overlayUrl("mood", moodQuery(options));
  expect(readMoodOptions(search)).toMatchObject({ theme: "river", minutes: 12, scale: 2 });
});
