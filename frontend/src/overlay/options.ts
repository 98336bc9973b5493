/** What the overlay's address asks for. */

export interface OverlayOptions {
  key: string;
  channel: string;
  /** Size of everything, 1 = normal. */
  scale: number;
  /** Rows shown at the same time. */
  max: number;
  /** Shows made-up messages instead of the live feed, for placing the overlay. */
  sample: boolean;
}

/** Reads `?key= &channel= &scale= &max= &sample=1`; nonsense falls back to the default. */
export function readOptions(search: string): OverlayOptions {
  const query = new URLSearchParams(search);
  return {
    key: query.get("key") ?? "",
    channel: query.get("channel") ?? "",
    scale: within(query.get("scale"), 0.25, 5, 1),
    max: Math.round(within(query.get("max"), 1, 50, 8)),
    sample: query.get("sample") === "1",
  };
}

function within(text: string | null, least: number, most: number, fallback: number): number {
  const value = Number(text);
  return text && Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : fallback;
}
