import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LiveEvent } from "@/client/live-events";
import { readOptions } from "@/overlay/options";
import { sampleEvents } from "@/overlay/sample";
import { OverlayView, STAY_MS } from "@/overlay/view";
import { PATIENCE_MS, Visibility } from "@/overlay/visibility";
import { chat, decision, moderation, reply, token, turnStarted } from "./samples";

let root: HTMLElement;

beforeEach(() => {
  vi.useFakeTimers();
  root = document.createElement("main");
});
afterEach(() => void vi.useRealTimers());

function show(events: LiveEvent[], options: { max?: number; channel?: string } = {}): OverlayView {
  const view = new OverlayView(root, { max: 8, channel: "", cohost: "Undy", ...options });
  for (const event of events) view.apply(event);
  return view;
}

const texts = () => [...root.querySelectorAll(".us-text")].map((element) => element.textContent);

describe("messages", () => {
  test("are text, whatever a viewer writes", () => {
    const attack = '<img src=x onerror="alert(1)"><b>bold</b>';
    show([chat("m1", { text: attack, name: "<i>mika</i>" }), reply({ text: attack })]);
    expect(texts()).toEqual([attack, attack]);
    expect(root.querySelector("img, b, i")).toBeNull();
    expect(root.querySelector(".us-name")?.textContent).toBe("<i>mika</i>");
  });

  test("carry stable classes for role and first message", () => {
    show([chat("m1", { role: "moderator", first: true })]);
    expect(root.firstElementChild?.className).toBe("us-row us-message us-moderator us-first");
  });

  test("only the newest are kept", () => {
    show(["m1", "m2", "m3"].map((id) => chat(id)), { max: 2 });
    expect(texts()).toEqual(["text of m2", "text of m3"]);
  });

  test("of other channels stay out when one is asked for", () => {
    show([chat("m1"), chat("m2", { channel: "#other" })], { channel: "#other" });
    expect(texts()).toEqual(["text of m2"]);
  });

  test("come once, even when a snapshot repeats them", () => {
    show([chat("m1"), chat("m1")]);
    expect(root.childElementCount).toBe(1);
  });

  test("that the input filter keeps out are never shown", () => {
    show([chat("m1", { blocked: true }), chat("m2")]);
    expect(texts()).toEqual(["text of m2"]);
  });

  test("that are deleted or of a banned viewer disappear at once", () => {
    show([
      chat("m2"),
      chat("m3", { user: "rude" }),
      chat("m4"),
      decision("m4", { action: "skipped" }),
      moderation("x1", { message_id: "m2" }),
      moderation("x2", { kind: "ban", user: "rude" }),
    ]);
    expect(texts()).toEqual(["text of m4"]);
  });

  test("all go when the chat is cleared, replies too", () => {
    show([chat("m1"), reply(), moderation("x1", { kind: "clear" })]);
    expect(root.childElementCount).toBe(0);
  });

  test("fade when they are old, then leave", () => {
    show([chat("m1")]);
    vi.advanceTimersByTime(STAY_MS);
    expect(root.firstElementChild?.classList.contains("us-fading")).toBe(true);
    vi.advanceTimersByTime(1_000);
    expect(root.childElementCount).toBe(0);
  });

  test("of a snapshot are shown only while they are young", () => {
    const view = show([]);
    const now = 10 * STAY_MS;
    view.applySnapshot([chat("old", { ts: now - STAY_MS }), chat("new", { ts: now - 1 })], now);
    expect(texts()).toEqual(["text of new"]);
  });
});

describe("replies", () => {
  test("stream in under the co-host's name and end as the whole text", () => {
    const view = show([turnStarted(), token(0, "Hi "), token(1, "Mi"), token(1, "Mi")]);
    expect(texts()).toEqual(["Hi Mi"]);
    expect(root.querySelector(".us-reply .us-name")?.textContent).toBe("Undy");
    expect(root.querySelector(".us-streaming")).not.toBeNull();
    view.apply(reply());
    expect(texts()).toEqual(["Hi Mika!"]);
    expect(root.querySelector(".us-streaming")).toBeNull();
  });

  test("stay as long as they grow", () => {
    const view = show([turnStarted()]);
    vi.advanceTimersByTime(STAY_MS - 1);
    view.apply(token(0, "Hi"));
    vi.advanceTimersByTime(STAY_MS - 1);
    expect(root.querySelector(".us-fading")).toBeNull();
  });

  test("that say nothing leave no empty box", () => {
    show([turnStarted(), reply({ text: "", status: "failed" })]);
    expect(root.childElementCount).toBe(0);
  });
});

test("the sample shows messages and a reply", () => {
  show(sampleEvents(0));
  expect(root.querySelectorAll(".us-message")).toHaveLength(4);
  expect(root.querySelectorAll(".us-reply")).toHaveLength(1);
});

describe("without a server", () => {
  test("the overlay disappears after its patience, and comes back", () => {
    const visibility = new Visibility(root);
    visibility.update("live");
    visibility.update("offline");
    vi.advanceTimersByTime(PATIENCE_MS - 1);
    visibility.update("offline");
    expect(root.classList.contains("us-live")).toBe(true);
    vi.advanceTimersByTime(1);
    expect(root.classList.contains("us-live")).toBe(false);
    visibility.update("live");
    expect(root.classList.contains("us-live")).toBe(true);
  });

  test("a short break is not seen", () => {
    const visibility = new Visibility(root);
    visibility.update("live");
    visibility.update("offline");
    visibility.update("live");
    vi.advanceTimersByTime(10 * PATIENCE_MS);
    expect(root.classList.contains("us-live")).toBe(true);
  });
});

test("options are read from the address and kept within sense", () => {
  expect(readOptions("?key=K&channel=%23demo&scale=1.5&max=3")).toEqual({
    key: "K",
    channel: "#demo",
    scale: 1.5,
    max: 3,
    sample: false,
  });
  const nonsense = readOptions("?scale=big&max=-4&sample=1");
  expect(nonsense).toMatchObject({ scale: 1, max: 1, sample: true });
});
