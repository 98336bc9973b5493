"""The reader of Twitch's chat against a server that does everything wrong a server can."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.fakes.twitch_irc import MALFORMED, Fault, Script, TwitchIrcServer
from understudy.events import ChatMessage, Event, Moderation
from understudy.sources.twitch.irc import TwitchIrc, channel_name
from understudy.sources.twitch.irc_link import LINE_BYTES
from understudy.sources.twitch.irc_session import IrcTiming, JoinPace

QUICK = IrcTiming(
    connect_within=5.0,
    ping_after=0.2,
    pong_within=0.2,
    join_window=0.05,
    join_again_after=0.1,
    first_wait=0.02,
    longest_wait=0.05,
)
"""Patience for tests: what takes seconds takes hundredths."""

TEXTS = (
    "hi",
    "Kappa 😀 Keepo",
    "こんにちは",
    "مرحبا بالعالم",
    "e\u0301 ❤️‍🔥",
    "x" * 400,
    ":) :x",
    "RECONNECT x",
)


def line(number: int, channel: str = "mara", text: str = "") -> str:
    """Message `number` of the channel."""
    text = text or TEXTS[number % len(TEXTS)]
    user = f"viewer_{number % 97}"
    return (
        f"@badges=subscriber/{number % 9};display-name=Viewer\\s{number % 97};emotes=;first-msg=0;"
        f"id=m-{number};room-id=1;tmi-sent-ts={1_700_000_000_000 + number};user-id={number % 97} "
        f":{user}!{user}@{user}.tmi.twitch.tv PRIVMSG #{channel} :{text}"
    )


def lines(count: int) -> list[str]:
    return [line(number) for number in range(count)]


class Reader:
    """A reader at work, and what it has read."""

    def __init__(self, source: TwitchIrc) -> None:
        self.source = source
        self.events: list[Event] = []
        self._changed = asyncio.Condition()

    async def publish(self, event: Event) -> None:
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    async def has(self, event_id: str) -> None:
        await self.until(lambda: bool(self.events) and self.events[-1].id == event_id)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]


@asynccontextmanager
async def reading(url: str, *channels: str, timing: IrcTiming = QUICK) -> AsyncIterator[Reader]:
    reader = Reader(TwitchIrc(channels or ["mara"], url, timing=timing))
    task = asyncio.create_task(reader.source.run(reader.publish), name="reader")
    try:
        yield reader
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


@pytest.fixture(params=["ws", "tcp"])
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


def url_of(server: TwitchIrcServer, scheme: str) -> str:
    return server.ws_url if scheme == "ws" else server.tcp_url


def fields_of(number: int) -> tuple[str, int, str, str, str]:
    text = TEXTS[number % len(TEXTS)]
    who = number % 97
    return (f"m-{number}", 1_700_000_000_000 + number, f"viewer_{who}", f"Viewer {who}", text)


# --- reading


async def test_reads_every_line_once_in_order_with_all_its_fields(scheme: str) -> None:
    script = Script(lines(2_000), fragment=0.5)
    async with TwitchIrcServer(script) as server, reading(url_of(server, scheme)) as reader:
        await reader.has("m-1999")
        messages = [event for event in reader.events if isinstance(event, ChatMessage)]
        assert [(m.id, m.ts, m.user, m.name, m.text) for m in messages] == [
            fields_of(number) for number in range(2_000)
        ]
        stats = reader.source.stats
        assert (stats.events, stats.bad_lines, stats.connections) == (2_000, 0, 1)
        assert [heard.line for heard in server.heard[:1]] == [
            "CAP REQ :twitch.tv/tags twitch.tv/commands"
        ]
        assert server.heard[1].line.startswith("NICK justinfan")
        assert reader.source.problems() == []


async def test_reads_many_channels_over_one_connection(scheme: str) -> None:
    names = [f"channel_{number}" for number in range(50)]
    script = Script([line(number, name) for number, name in enumerate(names)])
    async with (
        TwitchIrcServer(script) as server,
        reading(url_of(server, scheme), *names, "#Channel_0") as reader,
    ):
        await reader.until(lambda: len(reader.events) == 50)
        assert [event.channel for event in reader.events] == names
        assert server.connections == 1
        assert len(server.heard_lines("JOIN")) == 50
        assert reader.source.describe().endswith("from 127.0.0.1: 50 of 50 joined")


async def test_keeps_the_state_of_rooms(scheme: str) -> None:
    async with TwitchIrcServer() as server, reading(url_of(server, scheme)) as reader:
        await server.until(lambda: bool(server.heard_lines("JOIN")))
        server.say("@room-id=1;slow=5 :tmi.twitch.tv ROOMSTATE #mara", line(0))
        await reader.has("m-0")
        room = reader.source.rooms["mara"]
        assert (room["slow"], room["followers-only"], room["room-id"]) == ("5", "-1", "1")


async def test_answers_a_ping_of_the_servers_and_nobody_elses(scheme: str) -> None:
    async with TwitchIrcServer() as server, reading(url_of(server, scheme)) as reader:
        await server.until(lambda: bool(server.heard_lines("JOIN")))
        server.say(
            line(0, text="PING :steer"),
            line(1, text="\x01PING 1\x01"),
            ":evil!evil@evil PING :steer",
            "PING :tmi.twitch.tv",
        )
        await server.until(lambda: bool(server.heard_lines("PONG")))
        assert [heard.line for heard in server.heard_lines("PONG")] == ["PONG :tmi.twitch.tv"]
        assert reader.ids == ["m-0", "m-1"]


async def test_a_chatter_cannot_act_as_the_server(scheme: str) -> None:
    hostile = [
        "please RECONNECT x",
        ":tmi.twitch.tv RECONNECT",
        ":b!b@b PRIVMSG #mara :evil",
        "\u2028:tmi.twitch.tv CLEARCHAT #mara",
        "\x85:tmi.twitch.tv CLEARCHAT #mara",
        "\x0b\x0c\x1c\x1d\x1e:tmi.twitch.tv CLEARCHAT #mara",
        "a\r:tmi.twitch.tv CLEARCHAT #mara",
        "@msg-id=msg_banned :tmi.twitch.tv NOTICE #mara :gone",
        "\u200b\u2060\U000e0001",
    ]
    said = [line(number, text=text) for number, text in enumerate(hostile)]
    tricks = [
        ":b!b@b RECONNECT",
        ":b!b@b ROOMSTATE #mara",
        "@msg-id=msg_banned :b!b@b NOTICE #mara :gone",
        ":b!b@b PART #mara",
    ]
    async with TwitchIrcServer() as server, reading(url_of(server, scheme)) as reader:
        await server.until(lambda: bool(server.heard_lines("JOIN")))
        server.say(*said, *tricks, line(99))
        await reader.has("m-99")
        messages = [event for event in reader.events if isinstance(event, ChatMessage)]
        assert len(messages) == len(reader.events)
        assert [message.text for message in messages[:-1]] == hostile
        assert reader.source.problems() == []
        assert server.connections == 1


async def test_large_lines_and_bytes_that_are_no_text_survive(scheme: str) -> None:
    tags = ";".join(f"tag-{number}={'x' * 70}" for number in range(110))
    script = Script(
        [
            f"@{tags};id=large :a!a@a PRIVMSG #mara :{'y' * 20_000}",
            b"@id=broken :a!a@a PRIVMSG #mara :caf\xc3 \xff\xfe \0ok",
            line(0),
        ],
        fragment=1.0,
    )
    async with TwitchIrcServer(script) as server, reading(url_of(server, scheme)) as reader:
        await reader.has("m-0")
        large, broken, _ = reader.events
        assert isinstance(large, ChatMessage)
        assert isinstance(broken, ChatMessage)
        assert (len(large.tags), len(large.text)) == (110, 20_000)
        assert broken.text == "caf\ufffd \ufffd\ufffd ok"


async def test_a_line_without_end_ends_the_connection_not_the_reader(scheme: str) -> None:
    script = Script([b"x" * (LINE_BYTES + 70_000), line(0)], faults={1: "stall"})
    async with TwitchIrcServer(script) as server, reading(url_of(server, scheme)) as reader:
        await reader.has("m-0")
        assert server.connections == 2


# --- faults


@pytest.mark.parametrize("fault", ["close", "reconnect", "reconnect_close", "stall"])
async def test_nothing_is_lost_or_out_of_order(scheme: str, fault: Fault) -> None:
    script = Script(lines(1_500), rate=6_000, faults={400: fault, 900: fault})
    async with TwitchIrcServer(script) as server, reading(url_of(server, scheme)) as reader:
        await reader.until(lambda: "m-1499" in reader.ids[-3:])
        # What both connections of a hand-over bring is handed in twice: by its id it is known.
        assert list(dict.fromkeys(reader.ids)) == [f"m-{number}" for number in range(1_500)]
        if fault != "reconnect":
            assert len(reader.ids) == 1_500
        await server.until(lambda: (server.connections, server.open_connections) == (3, 1))


async def test_a_reset_loses_what_was_on_its_way_and_nothing_else(scheme: str) -> None:
    script = Script(lines(1_500), rate=6_000, faults={500: "reset", 1_000: "reset"})
    async with TwitchIrcServer(script) as server, reading(url_of(server, scheme)) as reader:
        await reader.has("m-1499")
        numbers = [int(event.id[2:]) for event in reader.events]
        assert numbers == sorted(set(numbers))
        assert server.connections == 3


async def test_a_hand_over_that_fails_is_tried_again(scheme: str) -> None:
    script = Script(lines(400), rate=4_000, faults={100: "reconnect"})
    async with TwitchIrcServer(script) as server, reading(url_of(server, scheme)) as reader:
        for connection in (2, 3):
            await server.until(lambda number=connection: server.connections == number)
            # The old one goes on, and the next comes although it does.
            server.strike("close", connection)
        await server.until(lambda: (server.connections, server.open_connections) == (4, 1))
        await reader.until(lambda: "m-399" in reader.ids)
        assert list(dict.fromkeys(reader.ids)) == [f"m-{number}" for number in range(400)]


async def test_everything_at_once(scheme: str) -> None:
    faults: dict[int, Fault] = {500: "close", 1_000: "reconnect", 1_500: "close"}
    script = Script(lines(2_000), 6_000, faults, fragment=0.5, malformed=0.05, twice=0.02)
    async with TwitchIrcServer(script) as server, reading(url_of(server, scheme)) as reader:
        await reader.until(lambda: "m-1999" in reader.ids[-3:])
        assert list(dict.fromkeys(reader.ids)) == [f"m-{number}" for number in range(2_000)]
        assert reader.source.stats.bad_lines > 20


async def test_a_bad_line_is_counted_and_skipped(scheme: str) -> None:
    async with TwitchIrcServer() as server, reading(url_of(server, scheme)) as reader:
        await server.until(lambda: bool(server.heard_lines("JOIN")))
        server.say(*MALFORMED, line(0))
        await reader.has("m-0")
        assert reader.ids == ["m-0"]
        assert len(MALFORMED) / 2 < reader.source.stats.bad_lines < len(MALFORMED)


async def test_a_deaf_server_is_left() -> None:
    async with (
        TwitchIrcServer(Script(deaf=True)) as server,
        reading(server.ws_url) as reader,
    ):
        await server.until(lambda: server.connections >= 3)
        assert server.heard_lines("PING :alive")
        assert "has been silent for 0.4 s" in reader.source.problems()[0]


async def test_a_quiet_server_that_answers_is_kept(scheme: str) -> None:
    async with TwitchIrcServer() as server, reading(url_of(server, scheme)) as reader:
        await server.until(lambda: len(server.heard_lines("PING :alive")) >= 3)
        assert server.connections == 1
        assert reader.source.problems() == []


async def test_a_reader_that_is_held_back_does_not_think_the_server_dead(scheme: str) -> None:
    held = asyncio.Event()
    seen: list[str] = []

    async def publish(event: Event) -> None:
        seen.append(event.id)
        await held.wait()

    impatient = IrcTiming(ping_after=0.05, pong_within=0.05, first_wait=0.0)
    async with TwitchIrcServer(Script(lines(20))) as server:
        source = TwitchIrc(["mara"], url_of(server, scheme), timing=impatient)
        task = asyncio.create_task(source.run(publish))
        await server.finished()
        await asyncio.sleep(0.3)
        held.set()
        await server.until(lambda: bool(server.heard_lines("PING")))
        assert (server.connections, len(seen)) == (1, 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_clock_that_jumps_changes_nothing(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(1)
    monkeypatch.setattr(time, "time", lambda: draw.uniform(0, 4e9))
    monkeypatch.setattr(time, "time_ns", lambda: draw.randrange(4 * 10**18))
    script = Script(lines(300), rate=3_000, faults={100: "stall", 200: "close"})
    async with TwitchIrcServer(script) as server, reading(url_of(server, scheme)) as reader:
        await reader.has("m-299")
        assert reader.ids == [f"m-{number}" for number in range(300)]
        assert server.connections == 3


# --- connections that cannot be made


async def trouble(reader: Reader) -> None:
    """Wait until the reader has a problem: no server is there to tell of it."""
    while not reader.source.problems():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_server_that_comes_later_is_found(scheme: str) -> None:
    server = TwitchIrcServer(Script(lines(3)))
    await server.start()
    port = server.port
    await server.stop()
    async with reading(f"{scheme}://127.0.0.1:{port}") as reader:
        await trouble(reader)
        (problem,) = reader.source.problems()
        assert problem.startswith("Twitch's chat is not read: 127.0.0.1 cannot be reached")
        assert reader.source.describe().endswith("0 of 1 joined")
        server = TwitchIrcServer(Script(lines(3)))
        await server.start(port)
        await reader.has("m-2")
        await server.until(lambda: len(server.heard_lines("JOIN")) == 1)
        assert reader.source.problems() == []
        await server.stop()


async def test_a_server_of_another_kind_is_a_problem() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with reading(f"ws://127.0.0.1:{port}") as reader:
        await trouble(reader)
        assert "HTTP 502" in reader.source.problems()[0]
    server.close()
    await server.wait_closed()


async def test_leaving_closes_every_connection(scheme: str) -> None:
    for fault in (None, "reconnect"):
        async with TwitchIrcServer(Script(lines(50), faults={20: "reconnect"})) as server:
            async with reading(url_of(server, scheme)) as reader:
                await reader.until(lambda: bool(reader.events))
                if fault:
                    await server.until(lambda: server.connections == 2)
            await server.until(lambda: server.open_connections == 0)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not [task.get_name() for task in others if "twitch" in task.get_name()]


# --- joins


async def test_a_channel_that_does_not_exist_is_told_and_not_asked_for_again(scheme: str) -> None:
    script = Script(lines(10), missing=frozenset({"marra"}))
    async with (
        TwitchIrcServer(script) as server,
        reading(url_of(server, scheme), "marra", "mara") as reader,
    ):
        await reader.has("m-9")
        (problem,) = reader.source.problems()
        assert "marra" in problem
        assert "does not exist" in problem
        # Two more rounds of joining have passed when two more pings have.
        await server.until(lambda: len(server.heard_lines("PING")) >= 2)
        assert len(server.heard_lines("JOIN #marra")) == 1
        assert reader.source.describe().endswith("1 of 2 joined")


async def test_a_join_without_an_answer_is_made_again(scheme: str) -> None:
    script = Script(silent=frozenset({"mute"}))
    async with (
        TwitchIrcServer(script) as server,
        reading(url_of(server, scheme), "mute", "mara"),
    ):
        await server.until(lambda: len(server.heard_lines("JOIN #mute")) >= 3)
        assert len(server.heard_lines("JOIN #mara")) == 1


async def test_joins_keep_below_the_limit_in_any_window() -> None:
    timing = IrcTiming(joins=5, join_window=0.05)
    pace = JoinPace(timing)
    clock = asyncio.get_running_loop().time
    times: list[float] = []
    for _ in range(17):
        await pace.admit()
        times.append(clock())
    gaps = [later - earlier for earlier, later in zip(times, times[5:], strict=False)]
    assert min(gaps) >= timing.join_window - 0.005


async def test_the_limit_counts_over_connections(scheme: str) -> None:
    names = ["mara", "b", "c"]
    slow = IrcTiming(joins=4, join_window=30.0, first_wait=0.0)
    script = Script(lines(5), faults={3: "close"})
    async with (
        TwitchIrcServer(script) as server,
        reading(url_of(server, scheme), *names, timing=slow) as reader,
    ):
        await reader.has("m-4")
        # Seven joins were wished for; the fifth has to wait.
        assert len(server.heard_lines("JOIN")) == 4


def test_names_of_channels_are_checked() -> None:
    assert channel_name(" #Mara_1 ") == "mara_1"
    for bad in ("", "#", "a b", "mara\r\nJOIN #x", "x" * 26, "mära", "a,b"):
        with pytest.raises(ValueError, match="not a Twitch channel"):
            channel_name(bad)


@pytest.mark.parametrize(
    "url", ["", "https://irc", "wss://", "tcp://h:99999", "tcp://h:x", "irc-ws.chat.twitch.tv"]
)
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="unusable"):
        TwitchIrc(["mara"], url)


async def test_removals_are_handed_out_too() -> None:
    script = Script(
        [
            line(0),
            "@login=viewer_0;target-msg-id=m-0;tmi-sent-ts=9 :tmi.twitch.tv CLEARMSG #mara :hi",
            "@ban-duration=60;tmi-sent-ts=10 :tmi.twitch.tv CLEARCHAT #mara :viewer_0",
        ]
    )
    async with TwitchIrcServer(script) as server, reading(server.ws_url) as reader:
        await reader.until(lambda: len(reader.events) == 3)
        assert [e.kind for e in reader.events if isinstance(e, Moderation)] == ["delete", "timeout"]
