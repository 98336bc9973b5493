/**
 * The colours of a mood: red, orange, grey, blue, violet, without the green that many cannot tell
 * from red.
 *
 * Colours between the five are mixed in OKLab, where equal steps look equal.
 * https://bottosson.github.io/posts/oklab/
 */

/** Mood values and their colours, from hostile to hype. */
export const STOPS = [
  { value: -1, colour: "#d73337" },
  { value: -0.5, colour: "#e18528" },
  { value: 0, colour: "#b0c0d1" },
  { value: 0.5, colour: "#4baeed" },
  { value: 1, colour: "#6875f6" },
] as const;

type Triple = readonly [number, number, number];

/** Red, green and blue, 0 to 255. */
export type Rgb = Triple;

/** The colour of a mood from -1 to 1; what lies outside gets the colour of the end. */
export function moodRgb(value: number): Rgb {
  const place = (Math.min(1, Math.max(-1, value)) + 1) * 2;
  const left = Math.min(LABS.length - 2, Math.floor(place));
  const share = place - left;
  const [from, to] = [LABS[left], LABS[left + 1]] as [Triple, Triple];
  return toRgb(each((n) => from[n] * (1 - share) + to[n] * share));
}

/** The same as `#rrggbb`. */
export function moodColour(value: number): string {
  return `#${moodRgb(value)
    .map((channel) => channel.toString(16).padStart(2, "0"))
    .join("")}`;
}

/** A colour in OKLab: lightness, green to red, blue to yellow. */
export function toLab(colour: Rgb): Triple {
  const [r, g, b] = each((n) => toLinear(colour[n] / 255));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

/** Reads `#rrggbb`. */
export function parseHex(colour: string): Rgb {
  return each((n) => parseInt(colour.slice(1 + 2 * n, 3 + 2 * n), 16));
}

const LABS = STOPS.map(({ colour }) => toLab(parseHex(colour)));

function toRgb([lightness, a, b]: Triple): Rgb {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear: Triple = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return each((n) => Math.round(255 * Math.min(1, Math.max(0, fromLinear(linear[n])))));
}

function toLinear(channel: number): number {
  return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
}

function fromLinear(channel: number): number {
  return channel <= 0.0031308 ? 12.92 * channel : 1.055 * channel ** (1 / 2.4) - 0.055;
}

function each(make: (n: 0 | 1 | 2) => number): Triple {
  return [make(0), make(1), make(2)];
}
