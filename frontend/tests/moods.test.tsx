import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { CURVE_MS, Moods } from "@/live/moods";
import { LiveStore } from "@/live/store";
import { MoodPanel } from "@/pages/monitor/mood-panel";
import { chat, mood } from "./samples";

const curveOf = (moods: Moods) => moods.view().map(({ points }) => points.map(({ ts }) => ts));

describe("the moods of the channels", () => {
  test("are kept by channel, other events change nothing", () => {
    const moods = new Moods();
    const before = moods.view();
    moods.apply([chat("m1")]);
    expect(moods.view()).toBe(before);
    moods.apply([mood(0.5, { ts: 1_000 }), mood(-0.5, { channel: "#a", ts: 1_000 })]);
    expect(moods.view().map(({ channel }) => channel)).toEqual(["#a", "#demo"]);
    expect(moods.view()[1]?.newest.value).toBe(0.5);
  });

  test("grow by one point a step and forget what is off the curve", () => {
    const moods = new Moods();
    const times = Array.from({ length: 1_600 }, (_, n) => n * 500);
    for (const ts of times) moods.apply([mood(0.1, { ts })]);
    const [curve = []] = curveOf(moods);
    expect(curve.length).toBeLessThanOrEqual(CURVE_MS / 2_000 + 2);
    expect(curve[0]).toBeGreaterThanOrEqual((times.at(-1) ?? 0) - CURVE_MS);
  });

  test("are not drawn twice when a snapshot repeats them", () => {
    const moods = new Moods();
    const readings = [0, 60_000, 120_000].map((ts) => mood(0.1, { ts }));
    moods.apply(readings);
    moods.applySnapshot(readings);
    expect(curveOf(moods)).toEqual([[0, 60_000, 120_000]]);
  });

  test("start anew when a rehearsal starts again", () => {
    const moods = new Moods();
    moods.apply([mood(0.1, { ts: 500_000 }), mood(0.4, { ts: 2_000 })]);
    expect(curveOf(moods)).toEqual([[2_000]]);
  });

  test("of many channels: the ones heard last", () => {
    const moods = new Moods();
    for (let n = 0; n < 50; n++) moods.apply([mood(0, { channel: `#c${n}`, ts: n })]);
    expect(moods.view().map(({ channel }) => channel)).toEqual(["#c46", "#c47", "#c48", "#c49"]);
  });
});

test("the store shows the moods of snapshots and of what follows", () => {
  const store = new LiveStore(() => undefined, (flush) => flush());
  store.receive({ type: "events", id: "f:1", events: [mood(0.3)] });
  store.receive({ type: "events", id: "f:2", events: [mood(0.6, { ts: 9_000 })] });
  expect(store.getSnapshot().moods[0]?.points).toHaveLength(2);
  expect(store.getSnapshot().timeline.rows).toHaveLength(0);
});

describe("the panel", () => {
  function render(...values: number[]): HTMLElement {
    const moods = new Moods();
    moods.apply(values.map((value, n) => mood(value, { ts: n * 60_000 })));
    const page = document.createElement("div");
    page.innerHTML = renderToStaticMarkup(<MoodPanel moods={moods.view()} />);
    return page;
  }

  test("is not there before the first reading", () => {
    expect(render().childElementCount).toBe(0);
  });

  test("says the mood in a word and a number, seen or read out", () => {
    const page = render(0.1, -0.456);
    expect(page.querySelector("h2")?.textContent).toBe("Mood: tense−0.46");
    const label = page.querySelector("svg")?.getAttribute("aria-label");
    expect(label).toBe("Mood of #demo in the last ten minutes, now tense, −0.46");
  });

  test("draws upwards what is positive, the newest at the right", () => {
    const line = render(-1, 1).querySelector("polyline")?.getAttribute("points") ?? "";
    const [[x1 = 0, y1 = 0], [x2 = 0, y2 = 0]] = line
      .split(" ")
      .map((place) => place.split(",").map(Number)) as [number[], number[]];
    expect(x2).toBeGreaterThan(x1);
    expect(y2).toBeLessThan(y1);
  });

  test("shows a mood that is neither one nor the other without a sign", () => {
    expect(render(-0.001).querySelector("h2")?.textContent).toBe("Mood: calm±0.00");
  });
});
