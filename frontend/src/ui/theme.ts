/** Dark or light: follows the system until the viewer chooses, then remembers the choice. */
import { useState } from "react";

export type Theme = "dark" | "light";

const KEY = "understudy.theme";

/** The theme to start with: the remembered one, else what the system prefers, else dark. */
export function preferredTheme(): Theme {
  const stored = localStorage.getItem(KEY);
  if (stored === "dark" || stored === "light") return stored;
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

/** Makes the page dark or light. */
export function applyTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
}

/** The theme and a function that switches to the other one for good. */
export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState(preferredTheme);
  const toggle = () => {
    const next = theme === "dark" ? "light" : "dark";
    localStorage.setItem(KEY, next);
    applyTheme(next);
    setTheme(next);
  };
  return [theme, toggle];
}
