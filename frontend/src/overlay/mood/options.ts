/** What the address of the mood overlay asks for. */
import { type SharedOptions, readShared, within } from "@/overlay/options";
import { EDGES, type Edge } from "@/overlay/mood/glow";
import type { Words } from "@/overlay/mood/words";

export const THEMES = ["glow", "bar", "river"] as const;
export type ThemeName = (typeof THEMES)[number];

export interface MoodOptions extends SharedOptions {
  theme: ThemeName;
  /** The edge that glows. */
  pos: Edge;
  /** Whether the word for the mood is shown. */
  label: boolean;
  words: Words;
  /** Minutes the river shows. */
  minutes: number;
}

/** Letters of a word that are shown. */
const LONGEST_WORD = 24;
const WORDS = ["Tense", "Calm", "Happy"] as const;

/**
 * Reads `?theme= &pos= &label= &words= &minutes=` and what all overlays take; nonsense falls back
 * to the default. Only the bar has a word unless it is asked for.
 */
export function readMoodOptions(search: string): MoodOptions {
  const query = new URLSearchParams(search);
  const theme = oneOf(THEMES, query.get("theme"));
  return {
    ...readShared(query),
    theme,
    pos: oneOf(EDGES, query.get("pos")),
    label: query.has("label") ? query.get("label") === "1" : theme === "bar",
    words: readWords(query.get("words") ?? ""),
    minutes: within(query.get("minutes"), 1, 30, 5),
  };
}

/** The words for negative, neutral and positive, between commas; a missing one is the default. */
function readWords(text: string): Words {
  const given = text.split(",").map((word) => word.trim().slice(0, LONGEST_WORD));
  const [negative, neutral, positive] = WORDS.map((word, n) => given[n] || word);
  return { negative: negative ?? "", neutral: neutral ?? "", positive: positive ?? "" };
}

function oneOf<T extends string>(names: readonly [T, ...T[]], text: string | null): T {
  return names.find((name) => name === text) ?? names[0];
}
