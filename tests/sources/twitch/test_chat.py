"""What a line of Twitch's chat becomes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.twitch_irc import MALFORMED
from tests.shared_data import shared_data
from understudy.events import ChatMessage, Moderation, StreamEvent, decode, encode
from understudy.sources.twitch.chat import ChatEvent, emotes_of, event_of, is_shared
from understudy.sources.twitch.irc_message import MalformedLine, parse

NOW = 1_700_000_000_000


def read(line: str) -> ChatEvent | None:
    return event_of(parse(line), NOW)


def chat(line: str) -> ChatMessage:
    event = read(line)
    assert isinstance(event, ChatMessage)
    return event


def stream_event(line: str) -> StreamEvent:
    event = read(line)
    assert isinstance(event, StreamEvent)
    return event


# --- messages


def test_a_message_with_all_there_is_to_it() -> None:
    assert chat(
        "@badge-info=subscriber/22;badges=moderator/1,subscriber/12;client-nonce=f00;"
        "color=#19E6E6;display-name=Mara\\s;emotes=25:11-15;first-msg=1;flags=;id=c1-a2;mod=1;"
        "reply-parent-display-name=Robo;reply-parent-msg-body=a\\sb\\:c;reply-parent-msg-id=b0;"
        "reply-parent-user-login=robo;room-id=7;subscriber=1;tmi-sent-ts=1594545155039;turbo=0;"
        "user-id=9;user-type=mod :mara!mara@mara.tmi.twitch.tv PRIVMSG #Robo :@robo yes! Kappa"
    ) == ChatMessage(
        id="c1-a2",
        channel="robo",
        ts=1594545155039,
        user="mara",
        text="@robo yes! Kappa",
        name="Mara",
        role="moderator",
        reply_to="b0",
        reply_to_user="robo",
        first=True,
        tags={
            "badge-info": "subscriber/22",
            "badges": "moderator/1,subscriber/12",
            "color": "#19E6E6",
            "emotes": "25:11-15",
            "reply-parent-display-name": "Robo",
            "reply-parent-msg-body": "a b;c",
            "room-id": "7",
            "user-id": "9",
        },
    )


def test_a_message_without_tags_is_read_too() -> None:
    message = chat(":mara!mara@mara.tmi.twitch.tv PRIVMSG #robo :hi")
    assert (message.id, message.ts, message.name, message.role) == (
        f"mara-{NOW}", NOW, "", "viewer"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("badges", "role"),
    [
        ("broadcaster/1,subscriber/0", "streamer"),
        ("moderator/1", "moderator"),
        ("vip/1,premium/1", "vip"),
        ("founder/0", "subscriber"),
        ("premium/1", "viewer"),
        ("", "viewer"),
        ("/,moderator", "moderator"),
    ],
)
def test_badges_tell_the_role(badges: str, role: str) -> None:
    assert chat(f"@badges={badges};id=1 :a!a@a PRIVMSG #c :x").role == role


def test_words_of_action_are_text_with_a_tag() -> None:
    message = chat("@emotes=25:0-4;id=1 :a!a@a PRIVMSG #c :\x01ACTION Kappa waves\x01")
    assert message.text == "Kappa waves"
    assert message.tags["action"] == "1"
    assert emotes_of(message) == ["Kappa"]


@pytest.mark.parametrize("value", ["0", "1", "true", "null"])
def test_values_are_never_taken_for_something_else(value: str) -> None:
    message = chat(
        f"@display-name={value};id={value};user-id={value};reply-parent-msg-body={value} "
        f":{value}!x@x PRIVMSG #c :{value}"
    )
    assert (message.id, message.user, message.text) == (value, value, value)
    assert message.tags == {"user-id": value, "reply-parent-msg-body": value}


@pytest.mark.parametrize("ts", ["", "now", "-5", "²", "9" * 5_000, "1.5"])
def test_a_time_that_is_none_is_the_time_of_arrival(ts: str) -> None:
    assert chat(f"@id=1;tmi-sent-ts={ts} :a!a@a PRIVMSG #c :x").ts == NOW


# Whatever a viewer writes is the text of one message of that viewer.
HOSTILE = (
    "please RECONNECT x",
    "RECONNECT",
    "PING x",
    ":b!b@b PRIVMSG #d :evil",
    ":tmi.twitch.tv RECONNECT",
    "@id=2;badges=broadcaster/1 :b!b@b PRIVMSG #c :evil",
    "\u2028:tmi.twitch.tv CLEARCHAT #c",
    "\x85:tmi.twitch.tv CLEARCHAT #c",
    "\x01ACTION",
    "\x01VERSION\x01",
    "\u200b\u2060\U000e0000\u202e",
    " :x :y",
    "; \\s \\: =",
    "a\tb\rc",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_ever_text(text: str) -> None:
    message = chat(f"@badges=;id=1 :a!a@a PRIVMSG #c :{text}")
    assert (message.text, message.user, message.role) == (text, "a", "viewer")
    assert (message.channel, message.id, message.tags) == ("c", "1", {})


def test_a_shared_message_is_recognised() -> None:
    line = "@badges=;id=1;room-id=7;source-badges=broadcaster/1{} :a!a@a PRIVMSG #c :!so"
    assert is_shared(chat(line.format(";source-room-id=8")))
    assert not is_shared(chat(line.format(";source-room-id=7")))
    assert not is_shared(chat(line.format("")))
    assert chat(line.format(";source-room-id=8")).role == "viewer"


# --- emotes


@pytest.mark.parametrize(
    ("tag", "text", "names"),
    [
        ("25:0-4,12-16/1902:6-10", "Kappa Keepo Kappa", ["Kappa", "Keepo", "Kappa"]),
        # Places count code points: an emoji beyond the basic plane is one.
        ("25:3-7", "😀👍 Kappa", ["Kappa"]),
        ("499:45-46", ":)", []),
        ("25", "Kappa", []),
        ("25:", "Kappa", []),
        ("25:x-y,0", "Kappa", []),
        ("25:4-0", "Kappa", []),
        ("25:0-" + "9" * 5_000, "Kappa", []),
        ("//::,,--", "Kappa", []),
        ("emotesv2_dc24652ada1e4c84a5e3ceebae4de709:0-4", "xqcLx", ["xqcLx"]),
    ],
)
def test_emotes_are_named_as_the_text_has_them(tag: str, text: str, names: list[str]) -> None:
    assert emotes_of(chat(f"@emotes={tag};id=1 :a!a@a PRIVMSG #c :{text}")) == names


@given(st.text(max_size=60), st.text(st.sampled_from("0123456789:-,/x"), max_size=60))
def test_no_tag_breaks_the_reading_of_emotes(text: str, tag: str) -> None:
    message = ChatMessage(id="1", channel="c", ts=1, user="u", text=text, tags={"emotes": tag})
    assert all(name in text for name in emotes_of(message))


# --- notices


def notice(what: str, tags: str = "", text: str = "") -> StreamEvent:
    return stream_event(
        f"@badges=;display-name=Mara;id=n1;login=mara;msg-id={what};{tags};room-id=7;"
        f"system-msg=Mara\\sdid\\sit!;tmi-sent-ts=1594545155039 :tmi.twitch.tv USERNOTICE #c{text}"
    )


@pytest.mark.parametrize(
    ("what", "tags", "kind", "amount"),
    [
        ("sub", "msg-param-cumulative-months=1", "sub", 1),
        ("resub", "msg-param-cumulative-months=25;msg-param-streak-months=3", "resub", 25),
        ("subgift", "msg-param-gift-months=6;msg-param-months=2", "gift", 1),
        ("subgift", "msg-param-community-gift-id=5", "other", 1),
        ("submysterygift", "msg-param-mass-gift-count=20", "gift", 20),
        ("raid", "msg-param-viewerCount=430", "raid", 430),
        ("raid", "msg-param-viewerCount=x", "raid", 0),
        ("announcement", "", "other", 0),
        ("sharedchatnotice", "source-msg-id=sub", "other", 0),
        ("", "", "other", 0),
    ],
)
def test_notices_are_stream_events(what: str, tags: str, kind: str, amount: int) -> None:
    event = notice(what, tags)
    assert (event.kind, event.amount, event.text) == (kind, amount, "")
    assert (event.id, event.user, event.name) == ("n1", "mara", "Mara")
    assert (event.channel, event.ts) == ("c", 1594545155039)
    assert event.tags["system-msg"] == "Mara did it!"
    assert event.tags.get("msg-id", "") == what


def test_a_notice_carries_what_the_viewer_wrote() -> None:
    assert (
        notice("resub", text=" :Great stream -- keep it up!").text == "Great stream -- keep it up!"
    )


def test_a_message_with_bits_is_a_cheer() -> None:
    event = stream_event("@bits=100;id=1;display-name=Mara :mara!m@m PRIVMSG #c :cheer100 Hello")
    assert (event.kind, event.amount, event.text) == ("cheer", 100, "cheer100 Hello")
    assert (event.id, event.user, event.tags["bits"]) == ("1", "mara", "100")


# --- moderation


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "@room-id=7;tmi-sent-ts=5 :tmi.twitch.tv CLEARCHAT #c",
            Moderation(id="clear-5", channel="c", ts=5, kind="clear"),
        ),
        (
            "@ban-duration=1;target-user-id=2;tmi-sent-ts=5 :tmi.twitch.tv CLEARCHAT #c :Mara",
            Moderation(id="timeout-mara-5", channel="c", ts=5, kind="timeout", user="mara"),
        ),
        (
            "@target-user-id=2;tmi-sent-ts=5 :tmi.twitch.tv CLEARCHAT #c :mara",
            Moderation(id="ban-mara-5", channel="c", ts=5, kind="ban", user="mara"),
        ),
        (
            "@login=mara;room-id=;target-msg-id=3c;tmi-sent-ts=5 :tmi.twitch.tv CLEARMSG #c :oops",
            Moderation(
                id="delete-3c", channel="c", ts=5, kind="delete", message_id="3c", user="mara"
            ),
        ),
    ],
)
def test_acts_of_moderators(line: str, expected: Moderation) -> None:
    assert read(line) == expected


# --- the vectors of others


def test_reads_the_chat_of_the_rust_client() -> None:
    file = shared_data("twitch/twitch-irc-rs/lines.jsonl")
    kinds: dict[str, int] = {}
    for case in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        try:
            event = read(case["line"])
        except MalformedLine:
            continue
        if event is not None:
            assert decode(encode(event)) == event
            name = type(event).__name__
            kinds[name] = kinds.get(name, 0) + 1
            if isinstance(event, ChatMessage | StreamEvent) and event.tags.get("emotes"):
                assert all(" " not in emote for emote in emotes_of(event))
    # Two more PRIVMSG name no Twitch channel, one is a cheer.
    assert kinds == {"ChatMessage": 11, "StreamEvent": 16, "Moderation": 5}


def tmi_cases(*events: str) -> list[dict[str, Any]]:
    file = shared_data("twitch/tmi.js/events.jsonl")
    cases = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(cases) == 43
    return [case for case in cases if case["event"] in events]


def without_its_quirk(value: Any) -> str:
    """What Twitch sent, of what tmi.js makes of it: booleans of 0 and 1, null of nothing."""
    return {True: "1", False: "0", None: ""}.get(value, value)


def assert_same_tags(event: ChatMessage | StreamEvent, state: dict[str, Any]) -> None:
    assert event.name == (state["display-name"] if state["display-name"] != event.user else "")
    for name, value in event.tags.items():
        if name == "action":
            assert state["message-type"] == "action"
        elif name in {"badges", "emotes", "badge-info"}:
            assert value == state[f"{name}-raw"]
        else:
            assert value == without_its_quirk(state[name])


def test_messages_are_what_tmi_js_hands_out() -> None:
    cases = tmi_cases("action", "chat", "cheer", "redeem")
    assert len(cases) >= 6
    for case in cases:
        event = read(case["line"])
        channel, *middle, text = [x for x in case["expected"] if not isinstance(x, bool)]
        assert isinstance(event, StreamEvent if case["event"] == "cheer" else ChatMessage)
        assert (f"#{event.channel}", event.text) == (channel, text)
        (state,) = [x for x in middle if isinstance(x, dict)]
        assert event.user == state["username"]
        assert_same_tags(event, state)


def test_notices_are_what_tmi_js_hands_out() -> None:
    cases = tmi_cases("sub", "subscription", "resub", "subanniversary", "raided") + tmi_cases(
        "giftpaidupgrade", "anongiftpaidupgrade", "primepaidupgrade"
    )
    assert len(cases) == 7
    for case in cases:
        event = stream_event(case["line"])
        channel, name, *middle = case["expected"]
        assert (f"#{event.channel}", event.display_name) == (channel, name)
        assert event.text in {"", *(x for x in middle if isinstance(x, str))}
        (state,) = [x for x in middle if isinstance(x, dict) and "msg-id" in x]
        state["system-msg"] = event.tags["system-msg"]  # tmi.js drops the line end in it
        assert_same_tags(event, state)


def test_removals_are_what_tmi_js_hands_out() -> None:
    for case in tmi_cases("ban", "timeout", "clearchat"):
        event = read(case["line"])
        assert isinstance(event, Moderation)
        assert event.kind == {"clearchat": "clear"}.get(case["event"], case["event"])
        assert [f"#{event.channel}", event.user][: len(case["expected"])] == case["expected"][:2]


# --- bad lines

NUMBERED_TAGS = ["tmi-sent-ts", "target-msg-id", "ban-duration", "msg-param-viewerCount"]


def test_bad_lines_are_malformed_or_nothing() -> None:
    malformed = 0
    for line in MALFORMED:
        try:
            assert read(line) is None
        except MalformedLine:
            malformed += 1
    assert malformed > len(MALFORMED) / 2


@given(
    st.sampled_from(["PRIVMSG", "USERNOTICE", "CLEARCHAT", "CLEARMSG"]),
    st.dictionaries(
        st.sampled_from(
            ["id", "badges", "bits", "emotes", "display-name", "login", "msg-id", *NUMBERED_TAGS]
        ),
        st.text(st.characters(exclude_characters=" ;\0\r\n", exclude_categories=["Cs"])),
    ),
    st.text(max_size=80),
)
def test_anything_with_a_known_command_is_an_event_or_malformed(
    command: str, tags: dict[str, str], rest: str
) -> None:
    raw = ";".join(f"{name}={value}" for name, value in tags.items())
    try:
        event = read(f"@{raw} :a!a@a {command} {rest}")
    except MalformedLine:
        return
    if event is not None:
        assert event.id
        assert 0 <= event.ts < 2**63
