import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LiveFrame, PingFrame } from "@/client/live-events";
import { backoff } from "@/client/backoff";
import { LiveSocket, type LiveSocketOptions, type WebSocketLike } from "@/client/live-socket";
import { STATE, chat } from "./samples";

class FakeWebSocket implements WebSocketLike {
  onopen: WebSocketLike["onopen"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  onclose: WebSocketLike["onclose"] = null;
  isClosed = false;

  constructor(readonly url: URL) {}

  close(): void {
    this.isClosed = true;
  }

  send(frame: LiveFrame | PingFrame): void {
    const event = new MessageEvent("message", { data: JSON.stringify(frame) });
    this.onmessage?.call(this as never, event);
  }

  drop(code = 1006): void {
    this.onclose?.call(this as never, { code } as CloseEvent);
  }
}

const SNAPSHOT: LiveFrame = { type: "snapshot", id: "f:4", state: STATE, events: [] };

function setUp(more: Partial<LiveSocketOptions> = {}) {
  const sockets: FakeWebSocket[] = [];
  const frames: LiveFrame[] = [];
  const states: string[] = [];
  const socket = new LiveSocket({
    address: () => new URL("ws://host/ws/live"),
    onFrame: (frame) => frames.push(frame),
    onState: (state) => states.push(state),
    connect: (url) => {
      const fake = new FakeWebSocket(new URL(url));
      sockets.push(fake);
      return fake;
    },
    random: () => 0,
    ...more,
  });
  const last = () => sockets[sockets.length - 1] as FakeWebSocket;
  const start = async () => {
    socket.start();
    await vi.advanceTimersByTimeAsync(0);
  };
  return { socket, sockets, frames, states, last, start };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("hands on every frame and is live from the first", async () => {
  const { start, last, frames, states } = setUp();
  await start();
  expect(states).toEqual(["connecting"]);
  last().send(SNAPSHOT);
  last().send({ type: "events", id: "f:5", events: [chat("m1")] });
  expect(frames.map((frame) => frame.type)).toEqual(["snapshot", "events"]);
  expect(states).toEqual(["connecting", "live", "live"]);
});

test("goes on after the last event it saw; a gap does not move that", async () => {
  const { start, last } = setUp();
  await start();
  expect(last().url.searchParams.has("since")).toBe(false);
  last().send(SNAPSHOT);
  last().send({ type: "events", id: "f:9", events: [] });
  last().send({ type: "gap", missed: 2 });
  last().drop();
  await vi.advanceTimersByTimeAsync(500);
  expect(last().url.searchParams.get("since")).toBe("f:9");
});

test("a ping keeps the connection and is not handed on", async () => {
  const { start, last, sockets, frames } = setUp();
  await start();
  last().send(SNAPSHOT);
  for (let n = 0; n < 4; n++) {
    await vi.advanceTimersByTimeAsync(30_000);
    last().send({ type: "ping" });
  }
  expect(sockets).toHaveLength(1);
  expect(frames).toHaveLength(1);
  last().drop();
  await vi.advanceTimersByTimeAsync(500);
  expect(last().url.searchParams.get("since")).toBe("f:4");
});

test("a connection that has gone silent is replaced", async () => {
  const { start, last, sockets, states } = setUp();
  await start();
  last().send(SNAPSHOT);
  await vi.advanceTimersByTimeAsync(45_000);
  expect(sockets[0]?.isClosed).toBe(true);
  expect(states.at(-1)).toBe("offline");
  await vi.advanceTimersByTimeAsync(500);
  expect(sockets).toHaveLength(2);
});

test("waits longer after each failure and starts over after a frame", async () => {
  const { start, sockets, last, states } = setUp({ random: () => 0.999999 });
  await start();
  for (const delay of [500, 1_000, 2_000]) {
    last().drop();
    const count = sockets.length;
    await vi.advanceTimersByTimeAsync(delay - 5);
    expect(sockets).toHaveLength(count);
    await vi.advanceTimersByTimeAsync(5);
    expect(sockets).toHaveLength(count + 1);
  }
  expect(states).not.toContain("live");
  last().send(SNAPSHOT);
  last().drop();
  const count = sockets.length;
  await vi.advanceTimersByTimeAsync(500);
  expect(sockets).toHaveLength(count + 1);
});

test("tries again when no ticket can be had", async () => {
  const address = vi.fn<LiveSocketOptions["address"]>();
  address.mockRejectedValueOnce(new Error("offline")).mockResolvedValue(new URL("ws://host/x"));
  const { start, sockets, states } = setUp({ address });
  await start();
  expect(sockets).toHaveLength(0);
  expect(states).toEqual(["connecting", "offline"]);
  await vi.advanceTimersByTimeAsync(500);
  expect(sockets).toHaveLength(1);
});

test("asks for a token instead of knocking on", async () => {
  const onUnauthorized = vi.fn();
  const { start, sockets, last } = setUp({ onUnauthorized });
  await start();
  last().drop(4401);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(onUnauthorized).toHaveBeenCalledOnce();
  expect(sockets).toHaveLength(1);
});

describe("stopping", () => {
  test("closes the socket and ignores what it still says", async () => {
    const { socket, start, sockets, last, frames } = setUp();
    await start();
    socket.stop();
    expect(last().isClosed).toBe(true);
    last().send(SNAPSHOT);
    last().drop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(frames).toHaveLength(0);
    expect(sockets).toHaveLength(1);
  });

  test("gives up an attempt whose address is still awaited", async () => {
    const { socket, sockets } = setUp({ address: () => Promise.resolve(new URL("ws://host/x")) });
    socket.start();
    socket.stop();
    await vi.advanceTimersByTimeAsync(0);
    expect(sockets).toHaveLength(0);
  });
});

test("the back-off stays between half a second and 15 s and is spread by half", () => {
  const delays = (random: number) => [0, 1, 5, 50].map((failures) => backoff(failures, random, { first: 500, longest: 15_000 }));
  expect(delays(1)).toEqual([500, 1_000, 15_000, 15_000]);
  expect(delays(0)).toEqual([500, 500, 7_500, 7_500]);
});
