// @vitest-environment node
/** The TypeScript client makes of the recorded frames what is expected of every client. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test, vi } from "vitest";
import { streamAnswer } from "@/client/answer";
import { errorOf } from "@/client/errors";
import type { LiveFrame, PingFrame } from "@/client/live-events";
import { LiveSocket, type WebSocketLike } from "@/client/live-socket";
import type { StreamEvent } from "@/client/reading";

const FOLDER = fileURLToPath(new URL("../../tests/contract", import.meta.url));

interface StreamCase {
  run: string;
  parts: string[];
  then?: { status: number; body: unknown };
  expected: { resumes_after: string[]; events: StreamEvent[] };
}

interface ProblemCase {
  status: number;
  headers: Record<string, string>;
  body?: unknown;
  text?: string;
  expected: { kind: string; status: number; detail?: string; retry_after: number };
}

interface FrameCase {
  frame: LiveFrame | PingFrame;
  expected: LiveFrame | PingFrame;
}

function cases<T>(folder: string): [string, T][] {
  const files = readdirSync(join(FOLDER, folder)).filter((file) => file.endsWith(".json"));
  return files.sort().map((file) => {
    const text = readFileSync(join(FOLDER, folder, file), "utf8");
    return [file.replace(".json", ""), JSON.parse(text) as T];
  });
}

/** A body that comes in pieces of `size` bytes and then ends or breaks. */
function body(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) controller.error(new TypeError("network error"));
      else controller.enqueue(bytes.slice(at, (at += size)));
    },
  });
}

describe.each(cases<StreamCase>("streams"))("the stream %s", (_, recorded) => {
  test.each([1, 7, 100_000])("in pieces of %i bytes", async (size) => {
    const asked: [string, Headers][] = [];
    const answers = recorded.parts.map((part) => {
      const bytes = readFileSync(join(FOLDER, "streams", part));
      return new Response(body(bytes, size), { headers: { "X-Run-Id": recorded.run } });
    });
    const { then } = recorded;
    if (then) answers.push(new Response(JSON.stringify(then.body), { status: then.status }));
    const fetch = vi.fn<typeof globalThis.fetch>((url, init) => {
      asked.push([String(url instanceof Request ? url.url : url), new Headers(init?.headers)]);
      const next = answers.shift();
      return next ? Promise.resolve(next) : Promise.reject(new TypeError("no more"));
    });
    const events: StreamEvent[] = [];
    let run = "";
    const stream = streamAnswer({
      base: "http://host/stage/",
      sessionId: "s1",
      message: "hi",
      onRun: (id) => (run = id),
      waits: { first: 0, longest: 0 },
      fetch,
    });
    for await (const event of stream) events.push(event);
    expect(events).toEqual(recorded.expected.events);
    expect(run).toBe(recorded.run);
    const [first, ...resumes] = asked;
    expect(first?.[0]).toBe("http://host/stage/chat/stream");
    expect(resumes.map(([, headers]) => headers.get("Last-Event-ID"))).toEqual(
      recorded.expected.resumes_after,
    );
    expect(new Set(resumes.map(([url]) => url)).size).toBeLessThanOrEqual(1);
  });
});

test.each(cases<ProblemCase>("problems"))("the problem %s", async (_, recorded) => {
  const text = recorded.text ?? JSON.stringify(recorded.body);
  const { status, headers, expected } = recorded;
  const error = await errorOf(new Response(text, { status, headers }));
  expect([error.kind, error.status]).toEqual([expected.kind, expected.status]);
  expect(error.retryAfter).toBe(expected.retry_after);
  if (expected.detail) expect(error.message).toBe(expected.detail);
  else expect(error.message).toContain(String(status));
});

test.each(cases<FrameCase>("live"))("the live frame %s", async (_, recorded) => {
  const socket: WebSocketLike = { onopen: null, onmessage: null, onclose: null, close: vi.fn() };
  const frames: LiveFrame[] = [];
  const feed = new LiveSocket({
    address: () => new URL("ws://host/ws/live"),
    onFrame: (frame) => frames.push(frame),
    onState: () => undefined,
    connect: () => socket,
  });
  feed.start();
  await vi.waitFor(() => expect(socket.onmessage).not.toBeNull());
  const data = JSON.stringify(recorded.frame);
  socket.onmessage?.call(socket as never, new MessageEvent("message", { data }));
  feed.stop();
  expect(frames).toEqual(recorded.frame.type === "ping" ? [] : [recorded.expected]);
});
