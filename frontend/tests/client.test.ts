/** The client's own ways, beyond the recorded frames: refusals, leaving, giving up. */
import { beforeEach, describe, expect, test, vi } from "vitest";
import { pause } from "@/client/backoff";
import { ApiError, UnderstudyClient, streamAnswer } from "@/client/index";
import { EventParser } from "@/client/sse";

const WAITS = { first: 0, longest: 0 };
const RUN = { headers: { "X-Run-Id": "r1" } };
const token = (seq: number, text: string) =>
  `id: r1:${seq}\ndata: ${JSON.stringify({ token: text })}\n\n`;
const END = 'id: r1:9\ndata: {"done":true,"message_id":"m1","usage":null}\n\n';

const fetch = vi.fn<typeof globalThis.fetch>();
beforeEach(() => {
  fetch.mockReset();
  vi.stubGlobal("fetch", fetch);
});

function problem(status: number, detail: string, headers: HeadersInit = {}): Response {
  return new Response(JSON.stringify({ detail }), { status, headers });
}

function listen(more: Partial<Parameters<typeof streamAnswer>[0]> = {}) {
  const base = "http://host/";
  return streamAnswer({ base, sessionId: "s1", message: "hi", waits: WAITS, fetch, ...more });
}

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const heard: T[] = [];
  for await (const event of events) heard.push(event);
  return heard;
}

const sent = (call: number) => {
  const [url, init] = fetch.mock.calls[call] ?? [];
  return { url: url instanceof URL ? url.href : "", method: init?.method, body: init?.body, init };
};

describe("calls", () => {
  const client = new UnderstudyClient("http://host/stage", "a.b");

  test("go to the server's folder with the token", async () => {
    fetch.mockImplementation(() => Promise.resolve(new Response('{"stopped":true}')));
    await client.start("ana", "calm_coach");
    await client.message("s1", "hi");
    await client.history("s/1");
    expect(await client.stop("r1")).toBe(true);
    fetch.mockResolvedValue(new Response(null, { status: 204 }));
    await client.end("s1");
    const calls = fetch.mock.calls.map((_, n) => `${sent(n).method} ${sent(n).url}`);
    expect(calls).toEqual([
      "POST http://host/stage/chat/start",
      "POST http://host/stage/chat/message",
      "GET http://host/stage/chat/sessions/s%2F1",
      "POST http://host/stage/chat/runs/r1/stop",
      "DELETE http://host/stage/chat/sessions/s1",
    ]);
    expect(sent(0).body).toBe('{"user_id":"ana","persona":"calm_coach"}');
    expect(new Headers(sent(0).init?.headers).get("Authorization")).toBe("Bearer a.b");
  });

  test("open the live feed with a ticket", async () => {
    fetch.mockResolvedValue(new Response('{"ticket":"once"}'));
    const connect = vi.fn(() => ({ onopen: null, onmessage: null, onclose: null, close: vi.fn() }));
    const ignore = () => undefined;
    const feed = client.live({ onFrame: ignore, onState: ignore, connect });
    feed.start();
    await vi.waitFor(() => expect(connect).toHaveBeenCalled());
    expect(connect).toHaveBeenCalledWith("ws://host/stage/ws/live?ticket=once");
    feed.stop();
  });
});

describe("a stream", () => {
  test("is asked for again when the server was too busy to begin", async () => {
    fetch.mockResolvedValueOnce(problem(503, "busy"));
    fetch.mockResolvedValueOnce(problem(429, "wait", { "Retry-After": "0" }));
    fetch.mockResolvedValueOnce(new Response(token(1, "Hi.") + END, RUN));
    expect(await all(listen())).toHaveLength(2);
  });

  test("is not asked for twice when nobody knows whether it has begun", async () => {
    fetch.mockRejectedValue(new TypeError("network error"));
    await expect(all(listen())).rejects.toMatchObject({ kind: "unreachable" });
    expect(fetch).toHaveBeenCalledOnce();
  });

  test.each([404, 409, 422, 502])("that is refused with %i is not asked for again", async (status) => {
    fetch.mockResolvedValue(problem(status, "no"));
    await expect(all(listen())).rejects.toEqual(new ApiError("no", status));
    expect(fetch).toHaveBeenCalledOnce();
  });

  test("is given up when the server stays away, but not while it makes progress", async () => {
    for (const seq of [1, 2, 3, 4]) {
      fetch.mockResolvedValueOnce(new Response(token(seq, `${seq} `), RUN));
      fetch.mockRejectedValueOnce(new TypeError("network error"));
    }
    fetch.mockRejectedValue(new TypeError("network error"));
    const heard: string[] = [];
    const reading = (async () => {
      for await (const event of listen({ attempts: 2 })) {
        if (event.type === "token") heard.push(event.text);
      }
    })();
    await expect(reading).rejects.toMatchObject({ status: 0 });
    expect(heard).toEqual(["1 ", "2 ", "3 ", "4 "]);
    expect(fetch).toHaveBeenCalledTimes(9);
  });

  test("of another server is told apart", async () => {
    fetch.mockResolvedValue(new Response("data: <html>\n\n"));
    await expect(all(listen())).rejects.toThrow("not Understudy's");
  });

  test("can be left", async () => {
    const leaving = new AbortController();
    const cancelled = vi.fn();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode(token(1, "Hi."))),
      cancel: cancelled,
    });
    fetch.mockResolvedValue(new Response(body, RUN));
    for await (const event of listen({ signal: leaving.signal })) {
      expect(event).toEqual({ type: "token", text: "Hi." });
      break;
    }
    expect(cancelled).toHaveBeenCalled();
    expect(sent(0).init?.signal?.aborted).toBe(true);
    leaving.abort(new Error("left"));
    await expect(all(listen({ signal: leaving.signal }))).rejects.toThrow("left");
  });

  test("whose connection goes silent is taken up again", async () => {
    vi.useFakeTimers();
    fetch.mockImplementationOnce((_, init) => {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode(token(1, "Hi ")));
          init?.signal?.addEventListener("abort", () => controller.error(new Error("aborted")));
        },
      });
      return Promise.resolve(new Response(body, RUN));
    });
    fetch.mockResolvedValueOnce(new Response(token(2, "again.") + END, RUN));
    const heard = all(listen());
    await vi.advanceTimersByTimeAsync(31_000);
    expect(await heard).toHaveLength(3);
    vi.useRealTimers();
  });
});

test("a pause ends early when its reader leaves", async () => {
  const leaving = new AbortController();
  const waiting = pause(60_000, leaving.signal);
  leaving.abort(new Error("left"));
  await expect(waiting).rejects.toThrow("left");
  await expect(pause(1, leaving.signal)).rejects.toThrow("left");
  await pause(0, new AbortController().signal);
});

test("events may end in CRLF, have several lines of data, or no id", () => {
  const parser = new EventParser();
  expect(parser.feed("data: a\r\ndata:b\r\n\r\n: x\r\n\r\nid: 7\r\ndata: c\r\n\r")).toEqual([
    { id: "", data: "a\nb" },
  ]);
  expect(parser.feed("\n")).toEqual([{ id: "7", data: "c" }]);
});
