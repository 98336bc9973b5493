/** Addresses of the overlays. */
import { serverUrl } from "@/live/address";

export type OverlayName = "chat" | "mood";

/** The query of an address; what is empty stays out of it, to keep it short. */
export type Query = Readonly<Record<string, string>>;

/** The address of an overlay. */
export function overlayUrl(overlay: OverlayName, query: Query): URL {
  const url = serverUrl(`overlay/${overlay}`);
  for (const [name, value] of Object.entries(query)) {
    if (value) url.searchParams.set(name, value);
  }
  return url;
}

/** `value` for a query, empty when it is the default. */
export function unless<T extends string | number>(fallback: T, value: T): string {
  return value === fallback ? "" : String(value);
}
