/**
 * Where a reader of one answer is, whatever connection it reads through. Does no I/O.
 *
 * Owns which events are new, what to ask for after a lost connection, and when to give up.
 */
import { ApiError, GoneError } from "./errors.ts";
import { EventParser, type ServerEvent } from "./sse.ts";

/** Tokens read and written for an answer. */
export interface Usage {
  input_tokens: number;
  output_tokens: number;
}

/** What a stream yields: tokens, then exactly one `done` or `failed`. */
export type StreamEvent =
  /** The next piece of the answer, to be shown right after the one before. */
  | { type: "token"; text: string }
  /**
   * The end. `message_id` is null when the answer could not be stored, `usage` when it is not known
   * any more; `interrupted` says why it ended early and is empty when it is complete.
   */
  | { type: "done"; message_id: string | null; usage: Usage | null; interrupted: string }
  /** The end of an answer that broke off: one sentence, and whether asking again may help. */
  | { type: "failed"; error: string; retryable: boolean };

/** The data of an event, whichever kind it is. */
interface Frame {
  token?: string;
  done?: boolean;
  error?: string;
  retryable?: boolean;
  message_id?: string | null;
  usage?: Usage | null;
  interrupted?: string;
}

/**
 * Statuses of a server that has not begun anything: asking again does nothing twice. No answer at
 * all is not among them, because browsers do not tell whether the request got through.
 */
const NOT_BEGUN = [429, 503];

export class Reading {
  /** The run's id; empty until the server has named it. */
  run = "";
  ended = false;
  text = "";
  failures = 0;
  private seq = 0;
  private parser = new EventParser();
  private readonly attempts: number;

  /** `attempts` counts in a row and without progress. */
  constructor(attempts = 4) {
    this.attempts = attempts;
  }

  /** The id of the last event that was read. */
  get lastEventId(): string {
    return `${this.run}:${this.seq}`;
  }

  /** The server has begun to send the events of `run`. */
  opened(run: string): void {
    this.run ||= run;
    this.parser = new EventParser();
  }

  /** The new events in what a connection brought. */
  feed(chunk: string): StreamEvent[] {
    const events = this.parser.feed(chunk).flatMap((raw) => this.take(raw));
    if (events.length > 0) this.failures = 0;
    return events;
  }

  /** The last events of a run that is gone, from the text the server has kept. */
  conclude(gone: GoneError): StreamEvent[] {
    this.ended = true;
    const rest = gone.reply.startsWith(this.text) ? gone.reply.slice(this.text.length) : "";
    const events: StreamEvent[] = rest ? [{ type: "token", text: rest }] : [];
    this.text += rest;
    return [...events, { type: "done", message_id: gone.messageId, usage: null, interrupted: "" }];
  }

  /** Notes a failure; throws the error when asking again would not help. */
  retry(error: ApiError | null): void {
    this.failures += 1;
    if (!this.mayGoOn(error)) throw error ?? lost();
  }

  private mayGoOn(error: ApiError | null): boolean {
    if (this.failures > this.attempts) return false;
    if (!this.run) return error !== null && NOT_BEGUN.includes(error.status);
    // Reading changes nothing, so it can always be tried again, unless the run is not there.
    const status = error?.status ?? 0;
    return status === 0 || status >= 500 || NOT_BEGUN.includes(status);
  }

  private take(raw: ServerEvent): StreamEvent[] {
    const seq = Number(/:(\d+)$/.exec(raw.id)?.[1] ?? this.seq + 1);
    if (seq <= this.seq || this.ended) return [];
    const event = read(raw.data);
    this.seq = seq;
    if (event.type === "token") this.text += event.text;
    else this.ended = true;
    return [event];
  }
}

/** The error of a connection that broke. */
export function lost(): ApiError {
  const message = "The connection broke and stays away: see the session's history.";
  return new ApiError(message, 0, 0, "lost");
}

function read(data: string): StreamEvent {
  let frame: Frame;
  try {
    frame = JSON.parse(data) as Frame;
  } catch {
    throw new ApiError("The stream is not Understudy's: check the address.", 200);
  }
  if (!frame.done) return { type: "token", text: frame.token ?? "" };
  if (frame.error) {
    return { type: "failed", error: frame.error, retryable: frame.retryable ?? false };
  }
  const { message_id = null, usage = null, interrupted = "" } = frame;
  return { type: "done", message_id, usage, interrupted };
}
