"""Lines as Twitch's chat sends them, made up, and beside each what a reader must make of it."""

import random
import uuid
from collections.abc import Iterator
from typing import NamedTuple

CHANNELS = ("mara", "robo", "tidepool")
START = 1_790_000_000_000
EMOTES = {"25": "Kappa", "1902": "Keepo", "425618": "LUL", "305954156": "PogChamp", "499": ":)"}
TALK = """that was such a great play omg chat lol did you see it no way again please what song is
this hello from everyone gg first time here love the stream"""
WORDS = (
    *TALK.split(),
    *("😀", "❤️‍🔥", "こんにちは", "مرحبا", "naïve", "ПРИВЕТ", "안녕", "🏴‍☠️", "@robo", "!drop"),
)
BADGES = (
    "",
    "",
    "",
    "premium/1",
    "subscriber/12",
    "vip/1",
    "moderator/1,subscriber/24",
    "bits/100",
)


class Said(NamedTuple):
    """A line and the fields of its event; `kind` is empty for lines that are no event."""

    line: str
    kind: str
    fields: tuple[str, ...] = ()


def corpus(count: int, seed: int = 7) -> Iterator[Said]:
    """`count` lines in order of time: 94.5 % messages, notices, removals, and the server's own."""
    draw = random.Random(seed)
    for number in range(count):
        ts = START + number
        share = draw.random()
        if share < 0.945:
            yield _message(draw, ts)
        elif share < 0.965:
            yield _notice(draw, ts)
        elif share < 0.977:
            user = _user(draw)
            tags = f"@ban-duration=60;room-id=1;target-user-id=5;tmi-sent-ts={ts}"
            line = f"{tags} :tmi.twitch.tv CLEARCHAT #{_channel(draw)} :{user}"
            yield Said(line, "moderation", (str(ts), "timeout", user))
        elif share < 0.985:
            target, user = _id(draw), _user(draw)
            tags = f"@login={user};room-id=;target-msg-id={target};tmi-sent-ts={ts}"
            line = f"{tags} :tmi.twitch.tv CLEARMSG #{_channel(draw)} :{_text(draw, {})}"
            yield Said(line, "moderation", (str(ts), "delete", user))
        else:
            yield Said(draw.choice(SERVER_LINES).replace("#c", f"#{_channel(draw)}"), "")


SERVER_LINES = (
    "@emote-only=0;followers-only=-1;r9k=0;room-id=1;slow=0 :tmi.twitch.tv ROOMSTATE #c",
    "@msg-id=slow_on :tmi.twitch.tv NOTICE #c :This room is now in slow mode.",
    ":someone!someone@someone.tmi.twitch.tv JOIN #c",
    ":someone!someone@someone.tmi.twitch.tv PART #c",
)


def _message(draw: random.Random, ts: int) -> Said:
    """A message; every 50th is a cheer, some are replies, some are written with /me."""
    user, message_id, badges, places = _user(draw), _id(draw), draw.choice(BADGES), {}
    name = user.title()
    bits = "100" if draw.random() < 0.02 else ""
    body = _text(draw, {}) if not bits and draw.random() < 0.1 else ""
    text = _text(draw, places)
    emotes = "/".join(f"{emote}:{','.join(spans)}" for emote, spans in places.items())
    tags = [
        *(f"badge-info={badges and 'subscriber/12'}", f"badges={badges}"),
        *([f"bits={bits}"] if bits else []),
        f"client-nonce={draw.getrandbits(128):032x}",
        *("color=#1E90FF", f"display-name={name}", f"emotes={emotes}", "first-msg=0", "flags="),
        *(f"id={message_id}", "mod=0"),
        *(_reply_tags(draw, body) if body else []),
        *("returning-chatter=0", "room-id=12345678", "subscriber=1", f"tmi-sent-ts={ts}"),
        *("turbo=0", f"user-id={abs(hash(user)) % 10**9}", "user-type="),
    ]
    action = draw.random() < 0.02
    said = f"\x01ACTION {text}\x01" if action else text
    line = (
        f"@{';'.join(tags)} :{user}!{user}@{user}.tmi.twitch.tv PRIVMSG #{_channel(draw)} :{said}"
    )
    mark = "1" if action else ""
    fields = (str(ts), user, name, text, mark, emotes, body, bits, badges)
    return Said(line, "cheer" if bits else "message", (message_id, *fields))


def _reply_tags(draw: random.Random, body: str) -> list[str]:
    escaped = body.replace("\\", "\\\\").replace(";", "\\:").replace(" ", "\\s")
    parent = _user(draw)
    return [
        f"reply-parent-display-name={parent.title()}",
        f"reply-parent-msg-body={escaped}",
        f"reply-parent-msg-id={_id(draw)}",
        f"reply-parent-user-id=5;reply-parent-user-login={parent}",
    ]


def _notice(draw: random.Random, ts: int) -> Said:
    user, notice_id = _user(draw), _id(draw)
    what, amount = draw.choice(
        [
            ("resub", "msg-param-cumulative-months=7"),
            ("raid", "msg-param-viewerCount=430"),
            ("submysterygift", "msg-param-mass-gift-count=20"),
        ]
    )
    line = (
        f"@badge-info=;badges=;color=;display-name={user.title()};emotes=;flags=;id={notice_id};"
        f"login={user};mod=0;msg-id={what};{amount};room-id=12345678;subscriber=1;"
        f"system-msg=Something\\shappened.;tmi-sent-ts={ts};user-id=5;user-type= "
        f":tmi.twitch.tv USERNOTICE #{_channel(draw)} :{_text(draw, {})}"
    )
    return Said(line, "notice", (notice_id, str(ts), user))


def _text(draw: random.Random, places: dict[str, list[str]]) -> str:
    """Some words; the places of emotes among them are noted, by code point."""
    words: list[str] = []
    length = 0
    for _ in range(draw.randrange(1, 14)):
        if draw.random() < 0.15:
            emote, word = draw.choice(list(EMOTES.items()))
            places.setdefault(emote, []).append(f"{length}-{length + len(word) - 1}")
        else:
            word = draw.choice(WORDS)
        words.append(word)
        length += len(word) + 1
    return " ".join(words)


def _channel(draw: random.Random) -> str:
    return draw.choice(CHANNELS)


def _user(draw: random.Random) -> str:
    return f"viewer_{draw.randrange(20_000)}"


def _id(draw: random.Random) -> str:
    return str(uuid.UUID(int=draw.getrandbits(128)))
