import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import type { Approval } from "@/api/types";
import { ApprovalView } from "@/pages/monitor/approvals";

const APPROVAL: Approval = {
  id: "approval_1",
  tool: "lights__set_colour",
  description: "Sets the colour of the lights.",
  arguments: '{"colour":"red"}',
  user: "kim",
  role: "viewer",
  channel: "ana_plays",
  text: "make it <b>red</b>",
  why: "Calls of this tool are confirmed.",
  asked_at: 1,
  expires_at: 2,
};

function render(isDecided: boolean): HTMLElement {
  const page = document.createElement("div");
  page.innerHTML = renderToStaticMarkup(
    <ApprovalView approval={APPROVAL} isDecided={isDecided} onDecide={() => undefined} />,
  );
  return page;
}

test("a call is shown with all that its moderator has to know", () => {
  const text = render(false).textContent;
  const { tool, description, user, role, why } = APPROVAL;
  for (const words of [tool, description, APPROVAL.arguments, user, role, why]) {
    expect(text).toContain(words);
  }
  expect(text).toContain("“make it <b>red</b>”");
});

test("an answer can be given once", () => {
  const buttons = (page: HTMLElement) => [...page.querySelectorAll("button")];
  expect(buttons(render(false)).map((button) => button.textContent)).toEqual(["Allow", "Decline"]);
  expect(buttons(render(false)).every((button) => !button.disabled)).toBe(true);
  expect(buttons(render(true)).every((button) => button.disabled)).toBe(true);
});
