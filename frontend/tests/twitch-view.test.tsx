import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import type { Twitch } from "@/api/twitch";
import { TwitchView } from "@/pages/channels/twitch-view";

const NOBODY: Twitch = {
  client_id_set: true,
  login: null,
  scopes: [],
  missing: [{ scope: "user:write:chat", allows: "say replies in the chat" }],
  pending: null,
  failure: "",
  problems: [],
  channels: ["mara"],
  send: false,
};
const ABOUT = "https://www.twitch.tv/activate?device-code=ABCDEFGH";
const PENDING = { user_code: "ABCDEFGH", verification_uri: ABOUT, expires_in: 1790 };

function render(twitch: Partial<Twitch>, isBusy = false): HTMLElement {
  const page = document.createElement("div");
  const nothing = () => undefined;
  page.innerHTML = renderToStaticMarkup(
    <TwitchView
      twitch={{ ...NOBODY, ...twitch }}
      isBusy={isBusy}
      onLogIn={nothing}
      onLogOut={nothing}
    />,
  );
  return page;
}

const buttons = (page: HTMLElement) =>
  [...page.querySelectorAll("button")].map((button) => button.textContent);

test("without an app it is said what to do, and there is no button", () => {
  const page = render({ client_id_set: false });
  expect(page.textContent).toContain("dev.twitch.tv/console");
  expect(page.textContent).toContain("twitch.client_id");
  expect(buttons(page)).toEqual([]);
});

test("nobody is logged in: what a login is good for, and the button", () => {
  const page = render({});
  expect(page.textContent).toContain("The chat of mara is read, which needs no account.");
  expect(page.textContent).toContain("A login lets Understudysay replies in the chat");
  expect(buttons(page)).toEqual(["Log in to Twitch"]);
  expect(render({}, true).querySelector("button")?.disabled).toBe(true);
  expect(render({ channels: [] }).textContent).toContain("name your channel in twitch.channels");
});

test("a login that waits shows its code and where to enter it", () => {
  const page = render({ pending: PENDING });
  expect(page.querySelector("output")?.textContent).toBe("ABCDEFGH");
  expect(page.querySelector("a")?.href).toBe(ABOUT);
  expect(page.textContent).toContain("good for 30 minutes");
  expect(buttons(page)).toEqual(["Cancel"]);
});

test("an address that is none of the web becomes no link", () => {
  const page = render({ pending: { ...PENDING, verification_uri: "javascript:alert(1)" } });
  expect(page.querySelector("a")).toBeNull();
  expect(page.textContent).toContain("twitch.tv/activate");
});

test("who is logged in, what that does not allow, and the way out", () => {
  const page = render({ login: "cohost_bot" });
  expect(page.textContent).toContain("Logged in as cohost_bot");
  expect(page.textContent).toContain("set twitch.send to say them there");
  expect(page.textContent).toContain("This login does not allow to");
  expect(buttons(page)).toEqual(["Log in again", "Log out"]);
  const whole = render({ login: "cohost_bot", missing: [], send: true });
  expect(whole.textContent).toContain("Replies are said in the chat too.");
  expect(whole.textContent).not.toContain("does not allow");
});

test("what went wrong is said", () => {
  const page = render({ failure: "the code has expired", problems: ["the login was revoked"] });
  const alerts = [...page.querySelectorAll("[role=alert]")].map((alert) => alert.textContent);
  expect(alerts).toEqual(["the login was revoked", "the code has expired"]);
});
