/**
 * One WebSocket to a live feed: opens it, opens it again when it breaks, and goes on where it was.
 *
 * Owns reconnecting (jittered back-off, 0.5 s to 15 s) and resuming (`?since=<id>`). Does not own
 * what the events mean, nor how the address is authorised (`address` does).
 */
import { backoff } from "./backoff.ts";
import type { LiveFrame, PingFrame } from "./live-events.ts";

export type SocketState = "connecting" | "live" | "offline";

/** The part of `WebSocket` that is used, so that tests can stand in for it. */
export type WebSocketLike = Pick<WebSocket, "onopen" | "onmessage" | "onclose" | "close">;

export interface LiveSocketOptions {
  /** Gives the address to connect to; called for every attempt because tickets are used up. */
  address: () => URL | Promise<URL>;
  onFrame: (frame: LiveFrame) => void;
  onState: (state: SocketState) => void;
  /** The server refused the caller; no more attempts are made until `start`. */
  onUnauthorized?: () => void;
  connect?: (url: string) => WebSocketLike;
  random?: () => number;
}

/** Close code of the server for a missing or bad token. */
const UNAUTHORIZED = 4401;
const WAITS = { first: 500, longest: 15_000 };
/** Silence after which a connection counts as dead: three missed pings of the server. */
const LONGEST_SILENCE_MS = 45_000;

export class LiveSocket {
  private socket: WebSocketLike | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private watchdog: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private lastId = "";
  /** Rises with every start and stop, so that a late answer of an old attempt is ignored. */
  private generation = 0;

  private readonly options: LiveSocketOptions;

  constructor(options: LiveSocketOptions) {
    this.options = options;
  }

  /** Connects now, forgetting how often it failed; a connection that is up is replaced. */
  start(): void {
    this.stop();
    this.failures = 0;
    void this.open();
  }

  /** Closes the connection and stays away. */
  stop(): void {
    this.generation += 1;
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private async open(): Promise<void> {
    const generation = this.generation;
    // While it keeps failing, "offline" stays on show instead of flickering.
    if (this.failures === 0) this.options.onState("connecting");
    let url: URL;
    try {
      url = await this.options.address();
    } catch {
      // The ticket could not be fetched: the server is away, which is what `retry` is for.
      if (generation === this.generation) this.retry();
      return;
    }
    if (generation !== this.generation) return;
    if (this.lastId) url.searchParams.set("since", this.lastId);
    const connect = this.options.connect ?? ((address) => new WebSocket(address));
    this.listen(connect(url.href));
  }

  private listen(socket: WebSocketLike): void {
    this.socket = socket;
    this.watch(socket);
    socket.onmessage = (message) => {
      if (this.socket !== socket) return;
      this.watch(socket);
      this.receive(JSON.parse(String(message.data)) as LiveFrame | PingFrame);
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      clearTimeout(this.watchdog);
      if (event.code === UNAUTHORIZED && this.options.onUnauthorized) {
        this.options.onState("offline");
        this.options.onUnauthorized();
      } else {
        this.retry();
      }
    };
  }

  private receive(frame: LiveFrame | PingFrame): void {
    // Only a frame proves that the feed works: a proxy may accept the socket and drop it.
    this.failures = 0;
    this.options.onState("live");
    if (frame.type === "ping") return;
    if (frame.type !== "gap") this.lastId = frame.id;
    this.options.onFrame(frame);
  }

  /** A laptop that slept or a network that went leaves sockets that never say they are closed. */
  private watch(socket: WebSocketLike): void {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      this.socket = null;
      socket.close();
      this.retry();
    }, LONGEST_SILENCE_MS);
  }

  private retry(): void {
    this.options.onState("offline");
    const random = this.options.random ?? Math.random;
    const delay = backoff(this.failures, random(), WAITS);
    this.failures += 1;
    this.timer = setTimeout(() => void this.open(), delay);
  }
}
