import { beforeEach, describe, expect, test, vi } from "vitest";
import { ApiError, authorisedSocketUrl, call } from "@/api/client";
import { currentToken, keepToken, takeTokenFromAddress, tokenFrom } from "@/api/token";
import { serverUrl, socketUrl } from "@/live/address";

beforeEach(() => {
  sessionStorage.clear();
  vi.unstubAllGlobals();
  history.replaceState(null, "", "http://localhost:3000/");
});

function answer(body: unknown, init: ResponseInit = {}) {
  const fetch = vi.fn<typeof globalThis.fetch>();
  fetch.mockResolvedValue(new Response(JSON.stringify(body), init));
  vi.stubGlobal("fetch", fetch);
  return fetch;
}

const sentHeaders = (fetch: ReturnType<typeof answer>) =>
  fetch.mock.calls[0]?.[1]?.headers as Headers;

describe("addresses", () => {
  test("keep a reverse proxy's prefix and leave the page's query out", () => {
    const page = "https://host/stage/overlays?x=1#y";
    expect(serverUrl("api/v1/status", page).href).toBe("https://host/stage/api/v1/status");
    expect(socketUrl("ws/live", page).href).toBe("wss://host/stage/ws/live");
  });

  test("of an overlay climb out of its folder", () => {
    const page = "http://host/stage/overlay/chat?key=K";
    expect(socketUrl("../ws/overlay/chat", page).href).toBe("ws://host/stage/ws/overlay/chat");
  });
});

describe("the token", () => {
  test("is found in an owner link or stands alone", () => {
    expect(tokenFrom("http://host:8000/#token=a.b-c")).toBe("a.b-c");
    expect(tokenFrom("  a.b-c \n")).toBe("a.b-c");
    expect(tokenFrom("http://host:8000/")).toBe("");
  });

  test("is taken out of the address bar", () => {
    history.replaceState(null, "", "http://localhost:3000/?a=1#token=a.b-c");
    takeTokenFromAddress();
    expect(currentToken()).toBe("a.b-c");
    expect(location.href).toBe("http://localhost:3000/?a=1");
  });

  test("goes with every call, and only when there is one", async () => {
    const without = answer({});
    await call("GET", "api/v1/status");
    expect(sentHeaders(without).has("Authorization")).toBe(false);
    keepToken("a.b-c");
    const with_ = answer({});
    await call("GET", "api/v1/status");
    expect(sentHeaders(with_).get("Authorization")).toBe("Bearer a.b-c");
  });

  test("is changed into a ticket for WebSockets", async () => {
    expect((await authorisedSocketUrl("ws/live")).search).toBe("");
    keepToken("a.b-c");
    answer({ ticket: "once" });
    const url = await authorisedSocketUrl("ws/live");
    expect(url.href).toBe("ws://localhost:3000/ws/live?ticket=once");
  });
});

describe("failures", () => {
  test("show the server's own sentence", async () => {
    answer({ title: "Conflict", detail: "A rehearsal runs already." }, { status: 409 });
    const failure = call("POST", "api/v1/rehearsals", {});
    await expect(failure).rejects.toEqual(new ApiError("A rehearsal runs already.", 409));
  });

  test("without a sentence name the status", async () => {
    vi.stubGlobal("fetch", () =>
      Promise.resolve(new Response("<html>", { status: 502, statusText: "Bad Gateway" })),
    );
    await expect(call("GET", "x")).rejects.toThrow("The server answered 502 Bad Gateway.");
  });

  test("to connect say what to check", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed to fetch")));
    await expect(call("GET", "x")).rejects.toMatchObject({ status: 0 });
    await expect(call("GET", "x")).rejects.toThrow("check that Understudy is running");
  });
});
