import { expect, test, vi } from "vitest";
import { LiveStore } from "@/live/store";
import { STATE, chat } from "./samples";

function setUp() {
  const frames: (() => void)[] = [];
  const onState = vi.fn();
  const store = new LiveStore(onState, (flush) => frames.push(flush));
  const listener = vi.fn();
  store.subscribe(listener);
  const paint = () => frames.splice(0).forEach((flush) => flush());
  return { store, listener, onState, frames, paint };
}

test("a burst of frames is one change, shown with the next paint", () => {
  const { store, listener, frames, paint } = setUp();
  const before = store.getSnapshot();
  for (let n = 0; n < 100; n++) {
    store.receive({ type: "events", id: `f:${n}`, events: [chat(`m${n}`)] });
  }
  expect(frames).toHaveLength(1);
  expect(store.getSnapshot()).toBe(before);
  paint();
  expect(listener).toHaveBeenCalledOnce();
  expect(store.getSnapshot().timeline.rows).toHaveLength(100);
});

test("a snapshot hands on the state of the stage", () => {
  const { store, onState } = setUp();
  store.receive({ type: "snapshot", id: "f:1", state: STATE, events: [] });
  expect(onState).toHaveBeenCalledWith(STATE);
});

test("the connection changes the view only when it changes", () => {
  const { store, frames, paint } = setUp();
  store.setConnection("connecting");
  expect(frames).toHaveLength(0);
  store.setConnection("offline");
  paint();
  expect(store.getSnapshot().connection).toBe("offline");
});

test("gaps become a notice", () => {
  const { store, paint } = setUp();
  store.receive({ type: "gap", missed: 1 });
  paint();
  expect(store.getSnapshot().timeline.rows[0]).toMatchObject({ kind: "notice" });
});
