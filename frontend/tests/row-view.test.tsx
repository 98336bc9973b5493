import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import type { LiveEvent } from "@/client/live-events";
import { Timeline } from "@/live/timeline";
import { RowView } from "@/pages/monitor/row-view";
import { TooltipProvider } from "@/ui/tooltip";
import { chat, decision, moderation, reply, streamEvent, token, turnStarted } from "./samples";

/** The page made of the first row that the events lead to. */
function render(events: LiveEvent[], isSelected = false): HTMLElement {
  const timeline = new Timeline();
  for (const event of events) timeline.apply(event);
  const row = timeline.view().rows[0];
  const page = document.createElement("div");
  page.innerHTML = renderToStaticMarkup(
    <TooltipProvider>
      {row && <RowView row={row} cohost="Undy" isSelected={isSelected} onJudge={() => undefined} />}
    </TooltipProvider>,
  );
  return page;
}

test("a message shows its author's standing in words and its fate with the reason", () => {
  const page = render([
    chat("m1", { name: "Mika", role: "moderator", first: true }),
    decision("m1", { reason: "cooldown", detail: "It is too soon." }),
  ]);
  for (const words of ["Mod", "First message", "Mika", "text of m1", "skipped", "cooling down"]) {
    expect(page.textContent).toContain(words);
  }
  expect(page.querySelector(".sr-only")?.textContent).toBe(": It is too soon.");
});

test("a message nobody decided on is pending", () => {
  expect(render([chat("m1")]).textContent).toContain("pending");
});

test("a deleted message is struck through and says so", () => {
  const page = render([chat("m1"), moderation("x1", { message_id: "m1" })]);
  expect(page.querySelector("del")?.textContent).toBe("text of m1");
  expect(page.textContent).toContain("deleted");
});

test("a selected message tells the whole reason", () => {
  const page = render([chat("m1"), decision("m1", { detail: "It is too soon." })], true);
  expect(page.querySelector("p + p, span + p")?.textContent).toBe("It is too soon.");
});

const cheer = streamEvent("e1", { kind: "cheer", amount: 2500, text: "gg" });

test.each([
  [streamEvent("e1"), "orbit raided with 12 viewers"],
  [streamEvent("e1", { kind: "gift", amount: 1 }), "orbit gave 1 gift sub"],
  [streamEvent("e1", { kind: "resub", amount: 14 }), "orbit resubscribed, 14 months"],
  [cheer, "orbit cheered 2,500 bits “gg”"],
])("an event is told in words", (event, words) => {
  const text = render([event]).querySelector("p")?.textContent ?? "";
  expect(text.replace("orbit", "orbit ").replace(/\s+/g, " ")).toBe(words);
});

test("a reply under way cannot be rated yet", () => {
  const page = render([turnStarted(), token(0, "Hi")]);
  expect(page.textContent).toContain("answering…");
  expect(page.querySelector("button")).toBeNull();
});

test("an ended reply shows what it answers, how it ended, and takes thumbs", () => {
  const page = render([turnStarted(), reply({ status: "stopped", first_token_ms: 40 })]);
  for (const words of ["Undy", "hello?", "Hi Mika!", "stopped", "first word 40 ms"]) {
    expect(page.textContent).toContain(words);
  }
  expect([...page.querySelectorAll("button")].map((button) => button.textContent)).toEqual([
    "Good reply",
    "Bad reply",
    "Write a better reply",
    "Add a note",
    "Mark as unsafe",
  ]);
});
