import { describe, expect, test } from "vitest";
import type { LiveEvent } from "@/client/live-events";
import type { MessageRow, NoticeRow, ReplyRow } from "@/live/rows";
import { Timeline } from "@/live/timeline";
import { chat, decision, moderation, reply, streamEvent, token, turnStarted } from "./samples";

function timelineOf(...events: LiveEvent[]): Timeline {
  const timeline = new Timeline();
  for (const event of events) timeline.apply(event);
  return timeline;
}

const messageOf = (timeline: Timeline, id: string) => timeline.row(id) as MessageRow;
const replyOf = (timeline: Timeline, turn = "t1") => timeline.row(`reply:${turn}`) as ReplyRow;
const kinds = (timeline: Timeline) => timeline.view().rows.map((row) => row.kind);

describe("decisions", () => {
  test("join their message", () => {
    const timeline = timelineOf(chat("m1"), decision("m1", { detail: "Not for us." }));
    expect(messageOf(timeline, "m1").decision?.detail).toBe("Not for us.");
  });

  test("may come before their message", () => {
    const timeline = timelineOf(decision("m1", { action: "blocked" }), chat("m1"));
    expect(messageOf(timeline, "m1").decision?.action).toBe("blocked");
    expect(timeline.view().counts.blocked).toBe(1);
  });

  test("also settle stream events", () => {
    const timeline = timelineOf(streamEvent("e1"), decision("e1", { action: "answered" }));
    expect(timeline.row("e1")).toMatchObject({ kind: "event", decision: { action: "answered" } });
  });

  test("are counted by reason, and a new one replaces the old", () => {
    const timeline = timelineOf(
      chat("m1"),
      chat("m2"),
      decision("m1", { reason: "expired" }),
      decision("m2", { reason: "expired" }),
      decision("m2", { action: "answered", reason: "mention" }),
    );
    const { counts } = timeline.view();
    expect(counts).toMatchObject({ messages: 2, skipped: 1, answered: 1, blocked: 0 });
    expect([...counts.reasons]).toEqual([["expired", 1]]);
  });

  test("given twice count once", () => {
    const { counts } = timelineOf(chat("m1"), decision("m1"), decision("m1")).view();
    expect(counts.skipped).toBe(1);
  });
});

describe("replies", () => {
  test("grow by tokens and end as the whole text", () => {
    const timeline = timelineOf(turnStarted({ message_id: "m1" }), token(0, "Hi "), token(1, "Mi"));
    expect(replyOf(timeline)).toMatchObject({ text: "Hi Mi", status: "streaming" });
    expect(replyOf(timeline).prompt).toBe("hello?");
    timeline.apply(reply({ first_token_ms: 40, total_ms: 90 }));
    expect(replyOf(timeline)).toMatchObject({
      text: "Hi Mika!",
      status: "complete",
      firstTokenMs: 40,
      messageId: "m1",
    });
  });

  test("ignore tokens that come again or too late", () => {
    const timeline = timelineOf(turnStarted(), token(0, "a"), token(1, "b"), token(0, "a"));
    expect(replyOf(timeline).text).toBe("ab");
    timeline.apply(reply({ text: "ab." }));
    timeline.apply(token(2, "late"));
    expect(replyOf(timeline).text).toBe("ab.");
  });

  test("whose start was not seen still appear", () => {
    const timeline = timelineOf(token(7, "…end"), reply());
    expect(kinds(timeline)).toEqual(["reply"]);
    expect(replyOf(timeline)).toMatchObject({ text: "Hi Mika!", prompt: "" });
  });

  test("keep each feeling once", () => {
    const base = { channel: "#demo", ts: 1, turn: "t1" } as const;
    const happy = { ...base, type: "emotion", id: "f1", name: "happy", intensity: 0.6 } as const;
    const timeline = timelineOf(turnStarted(), happy, happy);
    expect(replyOf(timeline).emotions).toEqual([happy]);
  });

  test("carry the thumb they were given", () => {
    const timeline = timelineOf(reply());
    timeline.judge("t1", { judgement: { kind: "thumb", value: -1 }, state: "stored" });
    timeline.judge("unknown", { judgement: { kind: "thumb", value: 1 }, state: "stored" });
    expect(replyOf(timeline).thumb).toBe(-1);
    timeline.judge("t1", { judgement: { kind: "edit", text: "Hi!" }, state: "stored" });
    expect(replyOf(timeline)).toMatchObject({ thumb: -1, judged: { state: "stored" } });
    timeline.judge("t1", { judgement: { kind: "thumb", value: 1 }, state: "failed" });
    expect(replyOf(timeline).thumb).toBe(0);
    timeline.judge("t1", { judgement: { kind: "safety", value: 1 }, state: "saving" });
    expect(replyOf(timeline)).toMatchObject({ thumb: 0, isUnsafe: true });
    timeline.judge("t1", { judgement: { kind: "safety", value: 1 }, state: "failed" });
    expect(replyOf(timeline).isUnsafe).toBe(false);
  });
});

describe("moderation", () => {
  test("strikes a deleted message, also when the deletion comes first", () => {
    const timeline = timelineOf(
      chat("m1"),
      moderation("x1", { message_id: "m1" }),
      moderation("x2", { message_id: "m2" }),
      chat("m2"),
    );
    expect(["m1", "m2"].map((id) => messageOf(timeline, id).deleted)).toEqual([true, true]);
  });

  test("of a person strikes their messages in that channel and says so once", () => {
    const ban = moderation("x1", { kind: "ban", user: "mika" });
    const timeline = timelineOf(
      chat("m1"),
      chat("m2", { user: "orbit" }),
      chat("m3", { channel: "#other" }),
      ban,
      ban,
    );
    const struck = ["m1", "m2", "m3"].map((id) => messageOf(timeline, id).deleted);
    expect(struck).toEqual([true, false, false]);
    expect(kinds(timeline).filter((kind) => kind === "notice")).toHaveLength(1);
  });

  test("that clears the chat strikes all of the channel", () => {
    const clear = moderation("x1", { kind: "clear" });
    const timeline = timelineOf(chat("m1"), chat("m2", { user: "orbit" }), clear);
    expect(["m1", "m2"].every((id) => messageOf(timeline, id).deleted)).toBe(true);
  });
});

describe("snapshots and gaps", () => {
  test("events that are known already are not shown twice", () => {
    const timeline = timelineOf(chat("m1"), chat("m2"));
    timeline.applySnapshot([chat("m2"), chat("m3")]);
    expect(timeline.view().rows.map((row) => row.key)).toEqual(["m1", "m2", "m3"]);
  });

  test("a snapshot that does not connect to what is shown is marked", () => {
    const timeline = timelineOf(chat("m1"));
    timeline.applySnapshot([chat("m9")]);
    expect(kinds(timeline)).toEqual(["message", "notice", "message"]);
  });

  test("the first snapshot is no gap", () => {
    const timeline = new Timeline();
    timeline.applySnapshot([chat("m1")]);
    expect(kinds(timeline)).toEqual(["message"]);
  });

  test("a gap says how much is missing", () => {
    const timeline = timelineOf(chat("m1"));
    timeline.addGap(3, 2_000);
    const notice = timeline.view().rows[1] as NoticeRow;
    expect(notice.text).toBe("3 events were left out: this page could not keep up");
  });
});

test("forgets the oldest rows and everything about them", () => {
  const timeline = new Timeline(3);
  for (const id of ["m1", "m2", "m3", "m4"]) timeline.apply(chat(id));
  const view = timeline.view();
  expect(view.rows.map((row) => row.key)).toEqual(["m2", "m3", "m4"]);
  expect([view.start, view.end, view.counts.messages]).toEqual([1, 4, 4]);
  expect(timeline.row("m1")).toBeUndefined();
});

test("a change makes a new row and leaves the others as they are", () => {
  const timeline = timelineOf(chat("m1"), chat("m2"));
  const before = timeline.view().rows;
  timeline.apply(decision("m2"));
  const after = timeline.view().rows;
  expect(after[0]).toBe(before[0]);
  expect(after[1]).not.toBe(before[1]);
});
