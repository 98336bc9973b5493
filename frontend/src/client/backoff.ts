/** How long to wait before the next attempt. */

/** The shortest wait and the longest, in milliseconds. */
export interface Waits {
  first: number;
  longest: number;
}

/** Milliseconds to wait after `failures` in a row; `random` in [0, 1) spreads it by half. */
export function backoff(failures: number, random: number, waits: Waits): number {
  const longest = Math.min(waits.longest, waits.first * 2 ** Math.min(failures, 30));
  return Math.max(waits.first, longest * (0.5 + random / 2));
}

/** Resolves after `milliseconds`, or rejects with the signal's reason when that comes first. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", leave);
      resolve();
    }, milliseconds);
    if (signal?.aborted) leave();
    else signal?.addEventListener("abort", leave, { once: true });
  });
}
