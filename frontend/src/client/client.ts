/** A running Understudy server: sessions, answers whole and streamed, the live feed. */
import { type AnswerOptions, streamAnswer } from "./answer.ts";
import { type RequestOptions, request } from "./http.ts";
import { LiveSocket, type LiveSocketOptions } from "./live-socket.ts";
import type { StreamEvent } from "./reading.ts";

export interface Session {
  session_id: string;
  persona: string;
}

export interface Answer {
  session_id: string;
  reply: string;
  message_id: string | null;
}

export interface HistoryMessage {
  id: string;
  ts: number;
  role: "user" | "assistant";
  user: string;
  text: string;
  run: string;
  status: string;
}

/** A conversation so far; `run` is the answer under way, if there is one. */
export interface History {
  session_id: string;
  user: string;
  persona: string;
  created_at: number;
  ended_at: number | null;
  run: string | null;
  messages: HistoryMessage[];
}

/** All methods throw `ApiError`. */
export class UnderstudyClient {
  private readonly base: URL;
  private readonly token: string;

  /** `token` is a bearer token, which a server on this machine need not ask for. */
  constructor(base: string | URL = "http://127.0.0.1:8000", token = "") {
    this.base = new URL(base);
    if (!this.base.pathname.endsWith("/")) this.base.pathname += "/";
    this.token = token;
  }

  start(user: string, persona?: string): Promise<Session> {
    return this.call("POST", "chat/start", { user_id: user, persona });
  }

  message(sessionId: string, message: string): Promise<Answer> {
    return this.call("POST", "chat/message", { session_id: sessionId, message });
  }

  /** Answers `message` token by token. */
  stream(
    sessionId: string,
    message: string,
    options: Pick<AnswerOptions, "signal" | "onRun" | "attempts" | "waits"> = {},
  ): AsyncGenerator<StreamEvent, void> {
    return streamAnswer({
      ...options,
      base: this.base,
      token: this.token,
      sessionId,
      message,
    });
  }

  history(sessionId: string): Promise<History> {
    return this.call("GET", `chat/sessions/${encodeURIComponent(sessionId)}`);
  }

  /** Ends a session and the answer under way in it. */
  async end(sessionId: string): Promise<void> {
    await this.call("DELETE", `chat/sessions/${encodeURIComponent(sessionId)}`);
  }

  /** Stops an answer; false when it had ended already. */
  async stop(run: string): Promise<boolean> {
    const path = `chat/runs/${encodeURIComponent(run)}/stop`;
    return (await this.call<{ stopped: boolean }>("POST", path)).stopped;
  }

  /** A live feed that is not connected yet: call its `start`. */
  live(options: Omit<LiveSocketOptions, "address">): LiveSocket {
    return new LiveSocket({ ...options, address: () => this.liveAddress() });
  }

  private async liveAddress(): Promise<URL> {
    const url = new URL("ws/live", this.base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.token) {
      const { ticket } = await this.call<{ ticket: string }>("POST", "ws/ticket");
      url.searchParams.set("ticket", ticket);
    }
    return url;
  }

  private call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const options: RequestOptions = { method, token: this.token };
    return request<T>(new URL(path, this.base), { ...options, body });
  }
}
