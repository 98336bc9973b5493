import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MoodHistory } from "@/mood/history";
import { moodColour } from "@/mood/palette";
import { FURTHEST, influenced } from "@/overlay/mood/influence";
import { type MoodOptions, readMoodOptions } from "@/overlay/mood/options";
import { Pacer } from "@/overlay/mood/pacer";
import { sampleRiver } from "@/overlay/mood/ribbon";
import { sampleReading } from "@/overlay/mood/sample";
import { MoodState, QUIET_MS, REST, TINT_MS } from "@/overlay/mood/state";
import { MoodView } from "@/overlay/mood/view";
import { mood } from "./samples";

let root: HTMLElement;
/** Drawings of the page's own frames: each runs as a timer of the fake clock. */
const FRAME_MS = 16;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("requestAnimationFrame", (draw: () => void) => setTimeout(draw, FRAME_MS));
  root = document.createElement("div");
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const GRID = Array.from({ length: 41 }, (_, n) => n / 20 - 1);

describe("the newest message", () => {
  const labels = ["negative", "neutral", "positive"] as const;

  test("pulls the colour its way, and only a little", () => {
    for (const value of GRID) {
      for (const message of GRID) {
        for (const label of labels) {
          const tone = influenced(value, message, label);
          expect(Math.abs(tone - value)).toBeLessThanOrEqual(FURTHEST + 1e-9);
          expect((tone - value) * (message - value)).toBeGreaterThanOrEqual(-1e-9);
          expect(Math.abs(tone)).toBeLessThanOrEqual(1);
        }
      }
    }
  });

  test("never turns a happy chat sad or a sad one happy", () => {
    for (const value of GRID.filter((each) => each > 0)) {
      for (const message of GRID) {
        expect(influenced(value, message, "positive")).toBeGreaterThan(0);
        expect(influenced(-value, message, "negative")).toBeLessThan(0);
      }
    }
  });

  test("leaves a neutral chat neutral", () => {
    expect(Math.abs(influenced(0.1, 1, "neutral"))).toBeLessThanOrEqual(0.2);
    expect(influenced(0, -1, "neutral")).toBeCloseTo(-0.15);
  });

  test("the nicer the message, the nicer the colour", () => {
    for (const value of GRID) {
      const tones = GRID.map((message) => influenced(value, message, "neutral"));
      expect(tones).toEqual([...tones].sort((a, b) => a - b));
    }
  });
});

describe("what is shown", () => {
  test("is calm before the first reading", () => {
    const state = new MoodState();
    expect(state.at(0)).toEqual(REST);
    expect(state.untilChange(0)).toBeNull();
  });

  test("loses the tint of a message that is no longer new, then the mood of a quiet chat", () => {
    const state = new MoodState();
    state.apply(mood(0.5, { message: -1, intensity: 0.7 }), 1_000);
    expect(state.at(1_000)).toMatchObject({ value: 0.5, tone: 0.35, message: -1 });
    expect(state.untilChange(1_000)).toBe(TINT_MS);
    const settled = state.at(1_000 + TINT_MS);
    expect(settled).toMatchObject({ value: 0.5, tone: 0.5, intensity: 0.7, message: null });
    expect(state.untilChange(1_000 + TINT_MS)).toBe(QUIET_MS - TINT_MS);
    expect(state.at(1_000 + QUIET_MS)).toEqual(REST);
    expect(state.untilChange(1_000 + QUIET_MS)).toBeNull();
  });

  test("is not tinted again by readings of a mood that fades while nobody writes", () => {
    const state = new MoodState();
    state.apply(mood(0.5, { message: -1, count: 7 }), 0);
    state.apply(mood(0.45, { message: -1, count: 7 }), TINT_MS - 1_000);
    expect(state.at(TINT_MS - 1).message).toBe(-1);
    expect(state.untilChange(TINT_MS - 1)).toBe(1);
    expect(state.at(TINT_MS)).toMatchObject({ value: 0.45, tone: 0.45, message: null });
    state.apply(mood(0.4, { message: -1, count: 8 }), TINT_MS);
    expect(state.at(TINT_MS).message).toBe(-1);
  });

  test("fields the server leaves out are zero", () => {
    const state = new MoodState();
    state.apply(mood(0.5), 0);
    expect(state.at(0)).toMatchObject({ intensity: 0, message: 0 });
  });

  test("is of the channel asked for", () => {
    const state = new MoodState("#demo");
    expect(state.apply(mood(1, { channel: "#other" }), 0)).toBe(false);
    expect(state.apply(mood(0.5), 0)).toBe(true);
  });

  test("stays with the first channel until that one is quiet, when none is asked for", () => {
    const state = new MoodState();
    state.apply(mood(0.5), 0);
    expect(state.apply(mood(-1, { channel: "#other" }), QUIET_MS - 1)).toBe(false);
    expect(state.apply(mood(-1, { channel: "#other" }), QUIET_MS)).toBe(true);
    expect(state.at(QUIET_MS).value).toBe(-1);
  });
});

describe("drawing", () => {
  test("happens once for a burst, and not more often than the pace", () => {
    const draw = vi.fn(() => null);
    const pacer = new Pacer(draw, 1_000);
    for (let n = 0; n < 50; n++) pacer.request();
    vi.advanceTimersByTime(FRAME_MS);
    expect(draw).toHaveBeenCalledTimes(1);
    pacer.request();
    vi.advanceTimersByTime(900);
    expect(draw).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(200);
    expect(draw).toHaveBeenCalledTimes(2);
  });

  test("stops when nothing changes any more", () => {
    let left = 3;
    const draw = vi.fn(() => (left-- > 0 ? 500 : null));
    new Pacer(draw, 100).request();
    vi.advanceTimersByTime(60_000);
    expect(draw).toHaveBeenCalledTimes(4);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a nearer wish comes before a later one", () => {
    const draw = vi.fn(() => null);
    const pacer = new Pacer(draw, 0);
    pacer.request(10_000);
    pacer.request(100);
    vi.advanceTimersByTime(100 + FRAME_MS);
    expect(draw).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(20_000);
    expect(draw).toHaveBeenCalledTimes(1);
  });
});

function show(search: string): MoodView {
  return new MoodView(root, readMoodOptions(search));
}

function after(milliseconds: number): void {
  vi.advanceTimersByTime(milliseconds + FRAME_MS);
}

const variable = (classes: string, name: string) =>
  root.querySelector<HTMLElement>(classes)?.style.getPropertyValue(name);

describe("the bar", () => {
  test("shows the mood as a place, a colour and a word", () => {
    const view = show("?theme=bar");
    view.apply([mood(0.6, { intensity: 0.5, message: 0.6 })]);
    after(0);
    expect(variable(".us-bar", "--us-value")).toBe("0.600");
    expect(variable(".us-bar", "--us-intensity")).toBe("0.50");
    expect(variable(".us-bar", "--us-mood")).toBe(moodColour(0.6));
    expect(root.querySelector(".us-word-text.us-on")?.textContent).toBe("Happy");
    expect(root.getAttribute("aria-label")).toBe("Mood of the chat: Happy");
    expect(root.dataset.label).toBe("positive");
  });

  test("points at the newest message while it is new", () => {
    show("?theme=bar").apply([mood(0.6, { message: -0.5 })]);
    after(0);
    expect(variable(".us-bar", "--us-message")).toBe("-0.500");
    expect(root.querySelector(".us-said.us-on")).not.toBeNull();
    after(TINT_MS);
    expect(root.querySelector(".us-said.us-on")).toBeNull();
    expect(variable(".us-bar", "--us-mood")).toBe(moodColour(0.6));
  });

  test("takes other words, or none", () => {
    show("?theme=bar&words=angespannt,ruhig,%3Cb%3Efroh");
    after(0);
    const words = [...root.querySelectorAll(".us-word-text")].map((each) => each.textContent);
    expect(words).toEqual(["angespannt", "ruhig", "<b>froh"]);
    root.replaceChildren();
    show("?theme=bar&label=0");
    expect(root.querySelector(".us-word")).toBeNull();
  });
});

describe("the glow", () => {
  test("fades to a new colour on the layer that is hidden", () => {
    const view = show("?theme=glow&pos=left");
    view.apply([mood(-0.5, { message: -0.5 })]);
    after(0);
    expect(root.querySelectorAll(".us-glow-layer.us-on")).toHaveLength(1);
    expect(variable(".us-glow-layer.us-on", "--us-mood")).toBe(moodColour(-0.5));
    const first = root.querySelector(".us-glow-layer.us-on");
    view.apply([mood(0.5, { message: 0.5 })]);
    after(1_000);
    const second = root.querySelector(".us-glow-layer.us-on");
    expect(second).not.toBe(first);
    expect(variable(".us-glow-layer.us-on", "--us-mood")).toBe(moodColour(0.5));
    expect(root.querySelectorAll(".us-glow-layer")).toHaveLength(2);
    expect(root.querySelector(".us-edge-left")).not.toBeNull();
  });

  test("has a word in a corner only when it is asked for", () => {
    show("?theme=glow");
    expect(root.querySelector(".us-word")).toBeNull();
    root.replaceChildren();
    show("?theme=glow&label=1");
    expect(root.querySelector(".us-word")).not.toBeNull();
  });
});

test("a snapshot's old readings do not count as new", () => {
  const view = show("?theme=bar");
  view.applySnapshot([mood(0.9, { ts: Date.now() - QUIET_MS })]);
  after(0);
  expect(root.dataset.label).toBe("neutral");
  view.applySnapshot([mood(0.9, { ts: Date.now() - 1 })]);
  after(1_000);
  expect(root.dataset.label).toBe("positive");
});

test.each(["glow", "bar", "river"])("the %s draws nothing while nothing happens", (theme) => {
  show(`?theme=${theme}`);
  vi.advanceTimersByTime(5_000);
  expect(vi.getTimerCount()).toBe(0);
});

describe("the river's shape", () => {
  const point = (ts: number, value: number, intensity = 0.5) => ({ ts, value, intensity });

  test("is flat without a past", () => {
    const samples = sampleRiver([], 1_000, 500, 5);
    expect(samples.map(({ value }) => value)).toEqual([0, 0, 0, 0, 0]);
    expect(samples.map(({ place }) => place)).toEqual([0, 0.25, 0.5, 0.75, 1]);
  });

  test("goes through its points and stays between them", () => {
    const points = [point(0, -0.4), point(2_000, 0.6), point(4_000, 0.2)];
    const samples = sampleRiver(points, 4_000, 4_000, 41);
    expect(samples[0]?.value).toBeCloseTo(-0.4);
    expect(samples[20]?.value).toBeCloseTo(0.6);
    expect(samples[40]?.value).toBeCloseTo(0.2);
    for (const { value } of samples) {
      expect(value).toBeGreaterThanOrEqual(-0.4);
      expect(value).toBeLessThanOrEqual(0.6);
    }
  });

  test("holds its value in a pause instead of sloping all along it", () => {
    const samples = sampleRiver([point(0, 0.5), point(60_000, -0.5)], 60_000, 60_000, 61);
    expect(samples[55]?.value).toBe(0.5);
    expect(samples[60]?.value).toBe(-0.5);
  });
});

describe("the history", () => {
  test("keeps one point a step and forgets what is too old", () => {
    const history = new MoodHistory(10_000, 1_000);
    for (let ts = 0; ts <= 60_000; ts += 250) history.add({ ts, value: ts / 60_000, intensity: 0 });
    expect(history.points.length).toBeLessThanOrEqual(12);
    expect(history.points.at(-1)?.ts).toBe(60_000);
    expect(history.points[0]?.ts).toBeGreaterThanOrEqual(50_000);
  });

  test("leaves out what is older than its newest", () => {
    const history = new MoodHistory(10_000);
    history.add({ ts: 5_000, value: 1, intensity: 0 });
    history.add({ ts: 4_000, value: -1, intensity: 0 });
    expect(history.points).toHaveLength(1);
  });
});

describe("options", () => {
  test("are read from the address and kept within sense", () => {
    const address = "?theme=river&key=K&channel=%23demo&scale=2&minutes=10&label=1&pos=top";
    expect(readMoodOptions(address)).toEqual({
      theme: "river",
      key: "K",
      channel: "#demo",
      scale: 2,
      minutes: 10,
      label: true,
      pos: "top",
      sample: false,
      words: { negative: "Tense", neutral: "Calm", positive: "Happy" },
    } satisfies MoodOptions);
  });

  test("that make no sense are the default", () => {
    const options = readMoodOptions("?theme=disco&minutes=many&pos=middle&words=,,");
    expect(options).toMatchObject({ theme: "glow", minutes: 5, pos: "bottom", label: false });
    expect(options.words.positive).toBe("Happy");
    const long = readMoodOptions(`?words=${"x".repeat(500)}`);
    expect(long.words.negative.length).toBeLessThan(30);
  });
});

test("the sample is a possible evening", () => {
  const readings = Array.from({ length: 600 }, (_, n) => sampleReading(n * 1_000));
  for (const { value, intensity = -1, message = 9 } of readings) {
    expect(Math.abs(value)).toBeLessThanOrEqual(1);
    expect(Math.abs(message)).toBeLessThanOrEqual(1);
    expect(intensity).toBeGreaterThanOrEqual(0);
    expect(intensity).toBeLessThanOrEqual(1);
  }
  expect(new Set(readings.map(({ label }) => label)).size).toBe(3);
});
