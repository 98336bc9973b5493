/** One JSON request: adds the token, turns failures into `ApiError`. */
import { errorOf, unreachable } from "./errors.ts";

export interface RequestOptions {
  method?: string;
  token?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Stands in for the browser's own. */
  fetch?: typeof fetch;
}

/** The response to a request, whatever its status; throws `ApiError` when none comes. */
export async function send(url: URL | string, options: RequestOptions = {}): Promise<Response> {
  const headers = new Headers({ Accept: "application/json", ...options.headers });
  if (options.token) headers.set("Authorization", `Bearer ${options.token}`);
  const init: RequestInit = { method: options.method ?? "GET", headers };
  if (options.body !== undefined) {
    headers.set("Content-Type", "application/json");
    init.body = JSON.stringify(options.body);
  }
  if (options.signal) init.signal = options.signal;
  try {
    return await (options.fetch ?? fetch)(url, init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw unreachable();
  }
}

/** The decoded JSON answer to a request; throws `ApiError`. */
export async function request<T>(url: URL | string, options: RequestOptions = {}): Promise<T> {
  const response = await send(url, options);
  if (!response.ok) throw await errorOf(response);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}
