import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { STOPS, type Rgb, moodColour, moodRgb, parseHex, toLab } from "@/mood/palette";

/**
 * What people with a colour vision deficiency see, in linear light: Machado, Oliveira, Fernandes,
 * "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), severity 1.
 */
const VISIONS: Record<string, number[]> = {
  normal: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protanopia: [
    0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998,
  ],
  deuteranopia: [
    0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881,
  ],
  tritanopia: [
    1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039,
  ],
};

function seen(colour: Rgb, matrix: number[]): Rgb {
  const linear = colour.map((channel) => (channel / 255) ** 2.2);
  const row = (n: number) => {
    const light = linear.reduce((sum, channel, m) => sum + channel * (matrix[3 * n + m] ?? 0), 0);
    return 255 * Math.min(1, Math.max(0, light)) ** (1 / 2.2);
  };
  return [row(0), row(1), row(2)];
}

const distance = (a: readonly number[], b: readonly number[]) =>
  Math.hypot(...a.map((n, m) => n - (b[m] ?? 0)));

test("the colours at the stops are the palette's own", () => {
  for (const { value, colour } of STOPS) expect(moodColour(value)).toBe(colour);
});

test("the server has the same palette", () => {
  const file = join(process.cwd(), "..", "src", "understudy", "mood", "colour.py");
  const steps = readFileSync(file, "utf8").matchAll(/^ {4}\((-?[\d.]+), "\w+", "(#\w{6})"\),$/gm);
  const theirs = [...steps].map(([, value, colour]) => ({ value: Number(value), colour }));
  expect(theirs).toEqual([...STOPS]);
});

test("beyond the ends the colour is that of the end", () => {
  expect(moodColour(-7)).toBe(STOPS[0].colour);
  expect(moodColour(7)).toBe(STOPS[4].colour);
});

test("colours between the stops change in small steps", () => {
  for (let value = -1; value < 1; value += 0.01) {
    expect(distance(toLab(moodRgb(value)), toLab(moodRgb(value + 0.01)))).toBeLessThan(0.012);
  }
});

describe.each(Object.entries(VISIONS))("with %s vision", (_, matrix) => {
  test("no two of the five colours look alike", () => {
    const labs = STOPS.map(({ colour }) => toLab(seen(parseHex(colour), matrix)));
    for (const [n, one] of labs.entries()) {
      for (const other of labs.slice(n + 1)) expect(distance(one, other)).toBeGreaterThan(0.085);
    }
  });
});
