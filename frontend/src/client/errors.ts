/** What can go wrong for a client, each with one sentence for people. */

export type ErrorKind =
  | "unreachable"
  | "lost"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "ended"
  | "gone"
  | "invalid"
  | "too_many_requests"
  | "failed"
  | "refused";

const BY_STATUS: Record<number, ErrorKind> = {
  0: "unreachable",
  400: "invalid",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  409: "ended",
  410: "gone",
  413: "invalid",
  422: "invalid",
  429: "too_many_requests",
};

/** A call failed; the message is one sentence. `status` is 0 when no answer came. */
export class ApiError extends Error {
  readonly status: number;
  readonly kind: ErrorKind;
  /** Seconds the server asks to be left alone; 0 when it does not say. */
  readonly retryAfter: number;

  constructor(message: string, status: number, retryAfter = 0, kind?: ErrorKind) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.retryAfter = retryAfter;
    this.kind = kind ?? BY_STATUS[status] ?? (status >= 500 ? "failed" : "refused");
  }
}

/** A run can no longer be resumed; `reply` is all that was said. */
export class GoneError extends ApiError {
  readonly reply: string;
  readonly messageId: string | null;

  constructor(message: string, reply: string, messageId: string | null) {
    super(message, 410);
    this.reply = reply;
    this.messageId = messageId;
  }
}

/** The error that a response which is not `ok` means; its body is read. */
export async function errorOf(response: Response): Promise<ApiError> {
  const problem = parse(await response.text());
  const sentences = [problem.detail, problem.title];
  const sentence = sentences.find((text): text is string => typeof text === "string" && !!text);
  const message =
    sentence ?? `The server answered ${response.status} ${response.statusText}`.trim() + ".";
  if (response.status === 410) {
    const { reply, message_id: id } = problem;
    const said = typeof reply === "string" ? reply : "";
    return new GoneError(message, said, typeof id === "string" ? id : null);
  }
  const seconds = Number(response.headers.get("Retry-After") ?? "");
  return new ApiError(message, response.status, Number.isFinite(seconds) ? seconds : 0);
}

/** No answer came at all. */
export function unreachable(): ApiError {
  return new ApiError("The server does not answer: check that Understudy is running.", 0);
}

function parse(text: string): Record<string, unknown> {
  try {
    const decoded = JSON.parse(text) as unknown;
    return typeof decoded === "object" && decoded ? { ...decoded } : {};
  } catch {
    // A proxy answered, and its page is no sentence to show.
    return {};
  }
}
