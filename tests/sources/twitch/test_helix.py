"""The calls to Twitch's API, against a server that checks tokens and scopes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.http_server import HttpServer
from tests.fakes.twitch_account import OWNER, Twitch, twitch
from tests.fakes.twitch_id import Account
from understudy.sources.twitch.errors import (
    MissingScope,
    NotLoggedIn,
    RateLimited,
    Refused,
    Unreachable,
)
from understudy.sources.twitch.helix import DropReason, EventSubscription, Helix
from understudy.sources.twitch.http import ATTEMPTS
from understudy.sources.twitch.user_ids import UserIds

DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
DATE_SECONDS = 1_795_255_200


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Twitch]:
    async with twitch(tmp_path) as world:
        yield world


async def test_users_and_streams(world: Twitch) -> None:
    world.api.live = {"ana": "Day nine"}
    users = await world.helix.users(["ana", "nobody", "ben"])
    assert [(user.login, user.id, user.display_name) for user in users] == [
        ("ana", "1001", "Ana"),
        ("ben", "1002", "Ben"),
    ]
    (stream,) = await world.helix.streams(["ana", "ben"])
    assert (stream.user_login, stream.title, stream.viewer_count) == ("ana", "Day nine", 7)


async def test_many_logins_are_asked_for_a_hundred_at_a_time(world: Twitch) -> None:
    world.api.users = {f"viewer{n}": str(n) for n in range(250)}
    assert len(await world.helix.users(list(world.api.users))) == 250
    assert len(world.api.requests) == 3
    assert await world.helix.users([]) == []


async def test_pages_are_turned(world: Twitch) -> None:
    world.api.moderated = ["1001", "1002", "1003"]
    channels = await world.helix.moderated_channels(OWNER.user_id)
    assert [channel.broadcaster_id for channel in channels] == world.api.moderated


async def test_a_message_and_a_reply_are_sent(world: Twitch) -> None:
    sent = await world.helix.send_message("1001", OWNER.user_id, "hi")
    assert (sent.message_id, sent.is_sent, sent.drop_reason) == ("sent-1", True, None)
    await world.helix.send_message("1001", OWNER.user_id, "hi you", reply_to="m-7")
    assert world.api.sent == [
        {"broadcaster_id": "1001", "sender_id": OWNER.user_id, "message": "hi"},
        {
            "broadcaster_id": "1001",
            "sender_id": OWNER.user_id,
            "message": "hi you",
            "reply_parent_message_id": "m-7",
        },
    ]


async def test_a_message_that_twitch_drops(world: Twitch) -> None:
    world.api.drop = {"code": "msg_rejected", "message": "Held by AutoMod."}
    sent = await world.helix.send_message("1001", OWNER.user_id, "hi")
    assert not sent.is_sent
    assert sent.drop_reason == DropReason("msg_rejected", "Held by AutoMod.")


async def test_moderation(world: Twitch) -> None:
    await world.helix.delete_message("1001", OWNER.user_id, "m-1")
    await world.helix.ban("1001", OWNER.user_id, "55", seconds=600, reason="spam")
    await world.helix.ban("1001", OWNER.user_id, "56")
    room = {"broadcaster_id": ["1001"], "moderator_id": [OWNER.user_id]}
    assert world.api.deleted == [{**room, "message_id": ["m-1"]}]
    assert world.api.bans == [
        (room, {"user_id": "55", "reason": "spam", "duration": 600}),
        (room, {"user_id": "56", "reason": ""}),
    ]


async def test_subscriptions(world: Twitch) -> None:
    helix = Helix(world.api.url, world.auth)
    with pytest.raises(Refused, match="websocket transport session does not exist"):
        await helix.subscribe("stream.online", "1", {"broadcaster_user_id": "1001"}, "none")
    assert await helix.subscriptions() == []
    world.api.subscribed.append({"type": "stream.online"})
    assert await helix.subscriptions() == [EventSubscription("sub-1", "stream.online", "enabled")]
    await helix.unsubscribe("sub-1")
    assert world.api.deleted == [{"id": ["sub-1"]}]
    await helix.aclose()


# --- refusals


async def test_a_refused_token_is_renewed_once(world: Twitch) -> None:
    world.ids.expire()
    assert [user.login for user in await world.helix.users(["ana"])] == ["ana"]
    assert (world.ids.refreshes, len(world.api.requests)) == (1, 2)


async def test_concurrent_calls_renew_once(world: Twitch) -> None:
    world.ids.expire()
    await asyncio.gather(*(world.helix.users([name]) for name in ("ana", "ben", "understudy")))
    assert world.ids.refreshes == 1


async def test_a_revoked_login_is_told_in_one_sentence(world: Twitch) -> None:
    world.ids.revoke()
    with pytest.raises(NotLoggedIn, match="has expired or was revoked: log in to Twitch again"):
        await world.helix.users(["ana"])
    asked = len(world.api.requests)
    with pytest.raises(NotLoggedIn):
        await world.helix.users(["ana"])
    assert len(world.api.requests) == asked, "Twitch is not asked without a token"


async def test_a_token_that_stays_refused_is_not_renewed_again(world: Twitch) -> None:
    world.api.faults.extend([(401, {}, "Client ID and OAuth token do not match")] * 2)
    with pytest.raises(Refused, match=r"\(Client ID and OAuth token do not match\)") as caught:
        await world.helix.users(["ana"])
    assert caught.value.status == 401
    assert world.ids.refreshes == 1


async def test_a_missing_scope_is_no_reason_to_renew(tmp_path: Path) -> None:
    async with twitch(tmp_path, Account("ana", "1001")) as world:
        with pytest.raises(MissingScope, match=r"user:write:chat\): log in to Twitch again"):
            await world.helix.send_message("1001", "1001", "hi")
        assert world.ids.refreshes == 0


# --- rate limits


def limited(reset: float, **headers: str) -> tuple[int, dict[str, str], str]:
    limits = {"Ratelimit-Remaining": "0", "Ratelimit-Reset": f"{reset:.0f}", "Date": DATE}
    return 429, {**limits, **headers}, "Too Many Requests"


async def test_a_rate_limit_is_waited_for(world: Twitch) -> None:
    world.api.faults.append(limited(DATE_SECONDS + 30))
    assert len(await world.helix.users(["ana"])) == 1
    # By Twitch's own clock: ours is years off.
    assert world.time.slept[-1] == 30


async def test_a_rate_limit_that_is_over_is_not_waited_for(world: Twitch) -> None:
    world.api.faults.append(limited(DATE_SECONDS - 5))
    assert len(await world.helix.users(["ana"])) == 1
    assert world.time.slept[-1] == 0


async def test_a_rate_limit_without_twitchs_clock_goes_by_ours(world: Twitch) -> None:
    world.api.faults.append(limited(world.time() + 20, Date="?"))
    assert len(await world.helix.users(["ana"])) == 1
    assert world.time.slept[-1] == pytest.approx(20, abs=1)


@pytest.mark.parametrize("reset", ["3600 later", "soon", "inf", "nan"])
async def test_a_rate_limit_that_lasts_too_long_is_told(world: Twitch, reset: str) -> None:
    value = str(DATE_SECONDS + 3600) if reset == "3600 later" else reset
    world.api.faults.append(limited(0, **{"Ratelimit-Reset": value}))
    with pytest.raises(RateLimited, match="takes no more requests for now"):
        await world.helix.users(["ana"])


async def test_a_rate_limit_that_does_not_end_is_told(world: Twitch) -> None:
    world.api.faults.extend([limited(DATE_SECONDS + 1)] * 3)
    with pytest.raises(RateLimited):
        await world.helix.users(["ana"])


async def test_a_429_that_is_no_rate_limit_is_not_waited_for(world: Twitch) -> None:
    left = limited(DATE_SECONDS + 30, **{"Ratelimit-Remaining": "700"})
    world.api.faults.append(left)
    before = len(world.time.slept)
    with pytest.raises(RateLimited):
        await world.helix.users(["ana"])
    assert len(world.time.slept) == before


# --- faults


async def test_a_fault_is_tried_again(world: Twitch) -> None:
    world.api.faults.extend([(503, {}, "busy"), (500, {}, "oops")])
    assert len(await world.helix.users(["ana"])) == 1
    assert len(world.api.requests) == ATTEMPTS


async def test_a_fault_that_stays_is_told(world: Twitch) -> None:
    world.api.faults.extend([(503, {}, "busy")] * ATTEMPTS)
    with pytest.raises(Unreachable, match=r"^Twitch has a fault \(status 503\): try again later$"):
        await world.helix.users(["ana"])


async def test_a_server_that_is_not_there_is_told(world: Twitch) -> None:
    helix = Helix("http://user:secret@127.0.0.1:1/helix", world.auth, sleep=world.time.sleep)
    expected = r"^Twitch cannot be reached at 127.0.0.1:1: check .* and twitch.helix_url$"
    with pytest.raises(Unreachable, match=expected):
        await helix.users(["ana"])
    await helix.aclose()


class Hangup(HttpServer):
    """Takes requests and closes without an answer."""

    async def answer(self, exchange) -> None:  # type: ignore[no-untyped-def]
        exchange.reset()


async def test_only_what_is_safe_is_repeated_when_an_answer_is_lost(world: Twitch) -> None:
    async with Hangup() as server:
        helix = Helix(server.origin, world.auth, sleep=world.time.sleep)
        with pytest.raises(Unreachable):
            await helix.users(["ana"])
        asked = len(server.requests)
        assert asked >= ATTEMPTS
        with pytest.raises(Unreachable):
            await helix.send_message("1", "2", "hi")
        assert len(server.requests) == asked + 1, "the message may have arrived"
        await helix.aclose()


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"[]", b'{"data": 1}', b"[" * 5000])
async def test_an_answer_that_is_none(world: Twitch, body: bytes) -> None:
    class Strange(HttpServer):
        async def answer(self, exchange) -> None:  # type: ignore[no-untyped-def]
            exchange.respond(200, body, {}, content_type="text/html")

    async with Strange() as server:
        helix = Helix(server.origin, world.auth)
        with pytest.raises(Refused, match="something that is no answer"):
            await helix.users(["ana"])
        await helix.aclose()


async def test_an_endless_answer_is_cut(world: Twitch) -> None:
    class Endless(HttpServer):
        async def answer(self, exchange) -> None:  # type: ignore[no-untyped-def]
            exchange.begin({})
            for _ in range(64):
                await exchange.write(b"x" * 65_536)
                await asyncio.sleep(0)
            await asyncio.Event().wait()

    async with Endless() as server:
        helix = Helix(server.origin, world.auth)
        with pytest.raises(Refused, match="something that is no answer"):
            await helix.users(["ana"])
        await server.gone()
        await helix.aclose()


async def test_tokens_stay_out_of_logs(world: Twitch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.ids.expire()
    await world.helix.users(["ana"])
    world.api.faults.append((400, {}, "bad"))
    with pytest.raises(Refused) as caught:
        await world.helix.users(["ana"])
    assert "access-" not in caplog.text + str(caught.value)


# --- numbers of accounts


async def test_a_number_is_looked_up_once(world: Twitch) -> None:
    numbers = UserIds(world.helix)
    assert await numbers.of(["Ana", "nobody"]) == {"ana": "1001"}
    assert await numbers.one("ana") == "1001"
    assert len(world.api.requests) == 1
    with pytest.raises(Refused, match="knows no account named nobody: check the name"):
        await numbers.one("nobody")
