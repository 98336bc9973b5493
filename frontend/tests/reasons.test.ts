import { expect, test } from "vitest";
import { reasonLabel } from "@/live/reasons";

test.each([
  ["mention", "talked to me"],
  ["not_addressed", "not for me"],
  ["blocked_word", "blocked word"],
])("%s is %s", (code, label) => {
  expect(reasonLabel(code)).toBe(label);
});

test("an unknown code is shown as words", () => {
  expect(reasonLabel("too_many-questions")).toBe("too many questions");
  expect(reasonLabel("")).toBe("no reason given");
});
