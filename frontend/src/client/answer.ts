/** One answer token by token, over as many connections as it takes. */
import { backoff, pause } from "./backoff.ts";
import { ApiError, GoneError, errorOf } from "./errors.ts";
import { type RequestOptions, send } from "./http.ts";
import { Reading, type StreamEvent, lost } from "./reading.ts";

/** Silence after which a connection counts as lost: three of the server's pings are missing. */
const SILENCE_MS = 30_000;
const WAITS = { first: 250, longest: 8_000 };

export interface AnswerOptions {
  /** The server's address, with a slash at its end where it has a path. */
  base: URL | string;
  sessionId: string;
  message: string;
  token?: string;
  /** Leaving: the server stops the answer after its grace time. */
  signal?: AbortSignal;
  /** Told the run's id, by which the answer can be stopped. */
  onRun?: (run: string) => void;
  /** Attempts in a row without progress. */
  attempts?: number;
  waits?: { first: number; longest: number };
  fetch?: typeof fetch;
}

/**
 * Yields the events of the answer. A connection that breaks is taken up again where it was, with no
 * token lost or doubled. Throws `ApiError` when the server refuses or stays away.
 */
export async function* streamAnswer(options: AnswerOptions): AsyncGenerator<StreamEvent, void> {
  const reading = new Reading(options.attempts);
  for (;;) {
    let failure: ApiError | null = null;
    try {
      yield* connection(reading, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof ApiError)) throw error;
      failure = error;
    }
    if (reading.ended) return;
    reading.retry(failure);
    const wait = backoff(reading.failures - 1, Math.random(), options.waits ?? WAITS);
    await pause(Math.max(wait, (failure?.retryAfter ?? 0) * 1000), options.signal);
  }
}

/** The events that one connection brings; throws `ApiError` when it ends before its time. */
async function* connection(
  reading: Reading,
  options: AnswerOptions,
): AsyncGenerator<StreamEvent, void> {
  const silence = new Silence(options.signal);
  try {
    const response = await send(...nextRequest(reading, options, silence.signal)).catch(asLost);
    if (!response.ok || !response.body) {
      const error = await errorOf(response);
      if (!(error instanceof GoneError)) throw error;
      yield* reading.conclude(error);
      return;
    }
    const named = reading.run !== "";
    reading.opened(response.headers.get("X-Run-Id") ?? "");
    if (!named) options.onRun?.(reading.run);
    for await (const text of texts(response.body)) {
      silence.heard();
      yield* reading.feed(text);
      if (reading.ended) return;
    }
  } finally {
    silence.end();
  }
}

/** What to ask the server for next: the answer, or the rest of it. */
function nextRequest(
  reading: Reading,
  options: AnswerOptions,
  signal: AbortSignal,
): [URL, RequestOptions] {
  const request: RequestOptions = { signal };
  if (options.token) request.token = options.token;
  if (options.fetch) request.fetch = options.fetch;
  if (!reading.run) {
    const body = { session_id: options.sessionId, message: options.message };
    return [new URL("chat/stream", options.base), { ...request, method: "POST", body }];
  }
  const url = new URL(`chat/runs/${encodeURIComponent(reading.run)}`, options.base);
  return [url, { ...request, headers: { "Last-Event-ID": reading.lastEventId } }];
}

/** Networks break with all kinds of errors, which mean the same. */
function asLost(error: unknown): never {
  throw error instanceof ApiError ? error : lost();
}

/** The body as text; leaving it gives the connection back. */
async function* texts(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const part = await reader.read().catch(asLost);
      if (part.done) return;
      yield decoder.decode(part.value, { stream: true });
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Ends a connection that says nothing, or that its reader leaves. */
class Silence {
  private readonly controller = new AbortController();
  private readonly outer: AbortSignal | undefined;
  private readonly leave = () => this.controller.abort(this.outer?.reason);
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(outer: AbortSignal | undefined) {
    this.outer = outer;
    outer?.throwIfAborted();
    outer?.addEventListener("abort", this.leave);
    this.heard();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  heard(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.controller.abort(), SILENCE_MS);
  }

  end(): void {
    clearTimeout(this.timer);
    this.outer?.removeEventListener("abort", this.leave);
    this.controller.abort();
  }
}
