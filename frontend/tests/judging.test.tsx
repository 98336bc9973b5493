import { act } from "react";
import { type Root, createRoot } from "react-dom/client";
import { renderToStaticMarkup } from "react-dom/server";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Feedback } from "@/api/types";
import { type ReplyRow, emptyReply } from "@/live/rows";
import { FeedbackList } from "@/pages/monitor/judging";
import { ReplyView } from "@/pages/monitor/reply-view";

const ROW: ReplyRow = { ...emptyReply("t1", 1), status: "complete", text: "Hi Mika!" };

let page: HTMLElement;
let root: Root;
const onJudge = vi.fn();

beforeEach(() => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  onJudge.mockClear();
  page = document.createElement("div");
  document.body.append(page);
  root = createRoot(page);
});

afterEach(() => {
  act(() => root.unmount());
  page.remove();
  vi.unstubAllGlobals();
});

function show(row: ReplyRow): void {
  act(() => {
    root.render(<ReplyView row={row} cohost="Undy" isSelected={false} onJudge={onJudge} />);
  });
}

function button(name: string): HTMLButtonElement {
  const found = [...page.querySelectorAll("button")].find((each) => each.textContent === name);
  if (!found) throw new Error(`there is no button ${name}`);
  return found;
}

const press = (name: string) => act(() => button(name).click());

function type(text: string, key: KeyboardEventInit): void {
  const field = page.querySelector("textarea");
  if (!field) throw new Error("there is no text field");
  act(() => {
    // React must not see the change before the event that tells of it.
    Reflect.set(HTMLTextAreaElement.prototype, "value", text, field);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  act(() => {
    field.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...key }));
  });
}

test("a thumb is given, and taken back by pressing it again", () => {
  show(ROW);
  press("Good reply");
  expect(onJudge).toHaveBeenLastCalledWith("t1", { kind: "thumb", value: 1 });
  show({ ...ROW, thumb: 1 });
  expect(button("Good reply").getAttribute("aria-pressed")).toBe("true");
  press("Good reply");
  expect(onJudge).toHaveBeenLastCalledWith("t1", { kind: "thumb", value: 0 });
});

test("a better reply begins as the reply that was given", () => {
  show(ROW);
  press("Write a better reply");
  expect(page.querySelector("textarea")?.value).toBe("Hi Mika!");
  type(" Welcome back, Mika! ", { key: "Enter" });
  expect(onJudge).toHaveBeenLastCalledWith("t1", { kind: "edit", text: "Welcome back, Mika!" });
  expect(page.querySelector("textarea")).toBeNull();
});

test("an empty note is not stored, and Escape closes the field", () => {
  show(ROW);
  press("Add a note");
  type("  ", { key: "Enter" });
  expect(onJudge).not.toHaveBeenCalled();
  expect(button("Store").disabled).toBe(true);
  type("too loud", { key: "Enter", shiftKey: true });
  expect(onJudge).not.toHaveBeenCalled();
  type("too loud", { key: "Escape" });
  expect(page.querySelector("textarea")).toBeNull();
  expect(onJudge).not.toHaveBeenCalled();
});

test("a reply is marked as unsafe, and not so by pressing it again", () => {
  show(ROW);
  press("Mark as unsafe");
  expect(onJudge).toHaveBeenLastCalledWith("t1", { kind: "safety", value: 1 });
  show({ ...ROW, isUnsafe: true });
  expect(button("Mark as unsafe").getAttribute("aria-pressed")).toBe("true");
  press("Mark as unsafe");
  expect(onJudge).toHaveBeenLastCalledWith("t1", { kind: "safety", value: 0 });
});

test("how far a judgement got is told", () => {
  show({ ...ROW, judged: { judgement: { kind: "edit", text: "x" }, state: "stored" } });
  expect(page.textContent).toContain("better reply stored");
  show({ ...ROW, judged: { judgement: { kind: "note", note: "x" }, state: "failed" } });
  expect(page.textContent).toContain("not stored");
});

const LIKED: Feedback = {
  id: "f1",
  kind: "thumb",
  value: 1,
  text: "",
  note: "",
  by: "mo",
  source: "moderator",
  weight: 5,
  ts: 1,
};

test("who judged a reply is told in words", () => {
  const list: Feedback[] = [
    LIKED,
    { ...LIKED, id: "f2", by: "new", source: "viewer", value: -1, weight: 0 },
    { ...LIKED, id: "f3", by: "room", source: "system", kind: "reward", weight: 0.5 },
    { ...LIKED, id: "f4", by: "ana", source: "streamer", kind: "edit", text: "Hey!" },
  ];
  const page = document.createElement("div");
  page.innerHTML = renderToStaticMarkup(<FeedbackList feedback={list} />);
  expect([...page.querySelectorAll("li")].map((line) => line.textContent)).toEqual([
    "mo (moderator) liked it",
    "new (viewer, does not count) did not like it",
    "The room reacted more than usual",
    "ana (streamer) would have said “Hey!”",
  ]);
});
