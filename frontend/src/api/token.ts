/**
 * The access token: taken from the owner link, kept for this browser tab, sent by `api/client`.
 *
 * The link carries it after `#`, which browsers never send to a server, and it is removed from the
 * address bar at once.
 */
const KEY = "understudy.token";

/** The token in `text`, an owner link or the token itself; empty when there is none. */
export function tokenFrom(text: string): string {
  const fragment = /[#&?]token=([^&\s]+)/.exec(text);
  if (fragment?.[1]) return decodeURIComponent(fragment[1]);
  const bare = text.trim();
  return /^[\w.~+/=-]+$/.test(bare) ? bare : "";
}

/** The token of this tab; empty when there is none. */
export function currentToken(): string {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Keeps the token until the tab is closed. */
export function keepToken(token: string): void {
  sessionStorage.setItem(KEY, token);
}

/** Takes a token out of the page's address, if the page was opened by the owner link. */
export function takeTokenFromAddress(): void {
  if (!location.hash.includes("token=")) return;
  const token = tokenFrom(location.hash);
  if (token) keepToken(token);
  history.replaceState(null, "", location.pathname + location.search);
}
