/** What the address of an overlay asks for. */

/** What every overlay's address may hold. */
export interface SharedOptions {
  key: string;
  channel: string;
  /** Size of everything, 1 = normal. */
  scale: number;
  /** Shows made-up content instead of the live feed, for placing the overlay. */
  sample: boolean;
}

export interface OverlayOptions extends SharedOptions {
  /** Rows shown at the same time. */
  max: number;
}

/** Reads `?key= &channel= &scale= &max= &sample=1`; nonsense falls back to the default. */
export function readOptions(search: string): OverlayOptions {
  const query = new URLSearchParams(search);
  return { ...readShared(query), max: Math.round(within(query.get("max"), 1, 50, 8)) };
}

/** Reads what every overlay takes. */
export function readShared(query: URLSearchParams): SharedOptions {
  return {
    key: query.get("key") ?? "",
    channel: query.get("channel") ?? "",
    scale: within(query.get("scale"), 0.25, 5, 1),
    sample: query.get("sample") === "1",
  };
}

/** The number in `text`, kept between the two limits; what is no number is the fallback. */
export function within(
  text: string | null,
  least: number,
  most: number,
  fallback: number,
): number {
  const value = Number(text);
  return text && Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : fallback;
}
