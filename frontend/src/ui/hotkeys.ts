/** Single-key shortcuts that stay out of the way of typing and of the browser's own shortcuts. */
import { useEffect, useEffectEvent } from "react";

/** Calls the handler of a pressed key; keys are lower case. */
export function useHotkeys(handlers: Record<string, () => void>): void {
  const onKeyDown = useEffectEvent((event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && event.key === "m") return;
    if (isTyping(event.target)) return;
    const handler = handlers[event.key.toLowerCase()];
    if (!handler) return;
    event.preventDefault();
    handler();
  });
  useEffect(() => {
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select") !== null;
}
