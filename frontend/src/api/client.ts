/** Calls the server's JSON API with the token of this tab. */
import { currentToken } from "@/api/token";
import { request } from "@/client/http";
import { serverUrl, socketUrl } from "@/live/address";

export { ApiError } from "@/client/errors";

type Method = "GET" | "POST" | "DELETE";

/** Sends a request and returns the decoded JSON answer; throws `ApiError`. */
export function call<T>(method: Method, path: string, body?: unknown): Promise<T> {
  return request<T>(serverUrl(path), { method, body, token: currentToken() });
}

/** The address of a WebSocket, with a fresh single-use ticket when this tab has a token. */
export async function authorisedSocketUrl(path: string): Promise<URL> {
  const url = socketUrl(path);
  if (currentToken()) {
    const { ticket } = await call<{ ticket: string }>("POST", "ws/ticket");
    url.searchParams.set("ticket", ticket);
  }
  return url;
}
