/** Calls the server's JSON API: adds the token, turns failures into one sentence for people. */
import { currentToken } from "@/api/token";
import { serverUrl, socketUrl } from "@/live/address";

/** A call failed; the message is one sentence for people. `status` is 0 when no answer came. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

type Method = "GET" | "POST" | "DELETE";

/** Sends a request and returns the decoded JSON answer; throws `ApiError`. */
export async function call<T>(method: Method, path: string, body?: unknown): Promise<T> {
  const headers = new Headers({ Accept: "application/json" });
  const token = currentToken();
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (body !== undefined) headers.set("Content-Type", "application/json");
  const init: RequestInit = { method, headers };
  if (body !== undefined) init.body = JSON.stringify(body);
  let response: Response;
  try {
    response = await fetch(serverUrl(path), init);
  } catch {
    throw new ApiError("The server does not answer: check that Understudy is running.", 0);
  }
  const text = await response.text();
  if (!response.ok) throw new ApiError(explain(response, text), response.status);
  return (text ? JSON.parse(text) : undefined) as T;
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

function explain(response: Response, text: string): string {
  try {
    const problem = JSON.parse(text) as { detail?: unknown; title?: unknown };
    for (const sentence of [problem.detail, problem.title]) {
      if (typeof sentence === "string" && sentence) return sentence;
    }
  } catch {
    // Not JSON: a proxy answered, and its page is no sentence to show.
  }
  return `The server answered ${response.status} ${response.statusText}`.trim() + ".";
}
