"""Logging in to Twitch and staying logged in, against its login server."""

import asyncio
import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.twitch_account import OWNER, Twitch, twitch
from tests.fakes.twitch_id import CLIENT_ID, Account, TwitchIdServer
from tests.fakes.twitch_time import SteppedTime
from understudy.sources.twitch.auth import VALIDATE_SECONDS, TwitchAuth
from understudy.sources.twitch.errors import (
    LoginFailed,
    MissingScope,
    NotLoggedIn,
    Refused,
    Unreachable,
)

ANA = Account("ana", "1001", ("user:read:chat",))


@pytest.fixture
async def nobody(tmp_path: Path) -> AsyncIterator[Twitch]:
    async with twitch(tmp_path, None) as world:
        yield world


@pytest.fixture
async def somebody(tmp_path: Path) -> AsyncIterator[Twitch]:
    async with twitch(tmp_path) as world:
        yield world


# --- device code


async def test_a_login_by_device_code(nobody: Twitch) -> None:
    code = await nobody.auth.begin_login(["user:read:chat"])
    assert (code.user_code, code.interval) == ("ABCDEFGH", 5)
    nobody.ids.answers.extend(["authorization_pending", "authorization_pending"])
    nobody.ids.approve(ANA)
    before = len(nobody.time.slept)
    login = await nobody.auth.complete_login(code)
    assert (login.login, login.user_id, login.scopes) == ("ana", "1001", {"user:read:chat"})
    assert nobody.time.slept[before:] == [5, 5, 5], "asked once per interval"
    assert nobody.auth.login == login
    assert stat.S_IMODE(nobody.token_file.stat().st_mode) == 0o600
    assert [file.name for file in nobody.token_file.parent.iterdir()] == ["twitch.token"]


async def test_slow_down_makes_it_ask_more_rarely(nobody: Twitch) -> None:
    code = await nobody.auth.begin_login()
    nobody.ids.answers.extend(["slow_down", "authorization_pending", "slow_down"])
    nobody.ids.approve(ANA)
    before = len(nobody.time.slept)
    await nobody.auth.complete_login(code)
    assert nobody.time.slept[before:] == [5, 10, 10, 15]


async def test_a_code_that_nobody_enters_expires(nobody: Twitch) -> None:
    code = await nobody.auth.begin_login()
    began = nobody.time()
    with pytest.raises(LoginFailed, match=r"has expired: begin the login again$"):
        await nobody.auth.complete_login(code)
    # Time passes by sleeping only, so this is how long it went on asking.
    assert 1780 <= nobody.time() - began <= 1800
    assert nobody.auth.login is None
    assert not nobody.token_file.exists()


async def test_a_code_that_twitch_calls_expired(nobody: Twitch) -> None:
    code = await nobody.auth.begin_login()
    nobody.ids.answers.append("invalid device code")
    with pytest.raises(LoginFailed, match="has expired"):
        await nobody.auth.complete_login(code)


async def test_a_login_that_is_turned_down(nobody: Twitch) -> None:
    code = await nobody.auth.begin_login()
    nobody.ids.answers.append("access_denied")
    with pytest.raises(LoginFailed, match="was turned down: begin it again to allow it"):
        await nobody.auth.complete_login(code)


async def test_a_login_goes_on_when_twitch_has_a_fault(nobody: Twitch) -> None:
    code = await nobody.auth.begin_login()
    nobody.ids.faults.extend([(503, {}, "down")] * 3)
    nobody.ids.approve(ANA)
    assert (await nobody.auth.complete_login(code)).login == "ana"


async def test_a_second_code_replaces_the_login(somebody: Twitch) -> None:
    known = somebody.auth.login
    changed = asyncio.create_task(somebody.auth.changed(known))
    code = await somebody.auth.begin_login()
    somebody.ids.approve(ANA)
    await somebody.auth.complete_login(code)
    login = await changed
    assert login is not None
    assert login.login == "ana"


async def test_an_unknown_app_is_told(tmp_path: Path) -> None:
    async with TwitchIdServer() as ids:
        auth = TwitchAuth(ids.origin, "unknown", tmp_path / "token")
        with pytest.raises(Refused, match=r"check twitch.client_id\) \(invalid client\)"):
            await auth.begin_login()
        await auth.aclose()
        auth = TwitchAuth(ids.origin, "", tmp_path / "token")
        with pytest.raises(NotLoggedIn, match=r"^twitch.client_id is not set"):
            await auth.begin_login()
        await auth.aclose()


async def test_no_secret_is_ever_sent(somebody: Twitch) -> None:
    code = await somebody.auth.begin_login()
    somebody.ids.approve(ANA)
    await somebody.auth.complete_login(code)
    await somebody.auth.renewed(await somebody.auth.access_token())
    await somebody.auth.log_out()
    bodies = [request.body for request in somebody.ids.requests]
    assert len(bodies) >= 5
    assert not any(b"client_secret" in body for body in bodies)


# --- the stored login


async def test_a_stored_login_is_taken_up_and_checked(somebody: Twitch) -> None:
    login = somebody.auth.login
    assert login is not None
    assert (login.login, login.user_id) == (OWNER.login, OWNER.user_id)
    assert [request.path for request in somebody.ids.requests] == ["/oauth2/validate"]
    assert somebody.auth.problems() == []


async def test_a_login_of_another_app_is_not_used(tmp_path: Path) -> None:
    async with twitch(tmp_path) as world:
        other = TwitchAuth(world.ids.origin, "another", world.token_file, sleep=world.time.sleep)
        await other.start()
        assert other.login is None
        assert other.problems() == [
            "the stored Twitch login is of another twitch.client_id: log in again"
        ]
        await other.aclose()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"client_id": 1}', b"[" * 5000])
async def test_a_damaged_token_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "twitch.token"
    path.write_bytes(content)
    time = SteppedTime()
    auth = TwitchAuth("http://127.0.0.1:1", CLIENT_ID, path, sleep=time.sleep)
    await auth.start()
    assert auth.problems() == [f"{path} holds no login: log in to Twitch again"]
    with pytest.raises(NotLoggedIn, match="holds no login"):
        await auth.access_token()
    await auth.aclose()


async def test_a_login_that_cannot_be_saved_works_until_the_stop(tmp_path: Path) -> None:
    folder = tmp_path / "a file in the way"
    folder.write_text("")
    async with TwitchIdServer() as ids:
        time = SteppedTime()
        auth = TwitchAuth(ids.origin, CLIENT_ID, folder / "token", sleep=time.sleep)
        code = await auth.begin_login()
        ids.approve(ANA)
        await auth.complete_login(code)
        (problem,) = auth.problems()
        assert problem.endswith("the Twitch login is lost at the next stop")
        assert await auth.access_token() in ids.access
        await auth.aclose()


async def test_logging_out_forgets_and_revokes(somebody: Twitch) -> None:
    token = await somebody.auth.access_token()
    await somebody.auth.log_out()
    assert somebody.auth.login is None
    assert not somebody.token_file.exists()
    assert token not in somebody.ids.access
    with pytest.raises(NotLoggedIn, match=r"^nobody is logged in to Twitch"):
        await somebody.auth.access_token()


# --- renewal


async def test_a_token_is_renewed_before_it_runs_out(somebody: Twitch) -> None:
    first = await somebody.auth.access_token()
    somebody.time.now += 14_400 - 30
    second = await somebody.auth.access_token()
    assert second != first
    assert somebody.ids.refreshes == 1
    assert second.encode() in somebody.token_file.read_bytes(), "the next start needs it"
    assert stat.S_IMODE(somebody.token_file.stat().st_mode) == 0o600


async def test_concurrent_requests_renew_once(somebody: Twitch) -> None:
    stale = await somebody.auth.access_token()
    somebody.ids.hold = asyncio.Event()
    renewals = [asyncio.create_task(somebody.auth.renewed(stale)) for _ in range(5)]
    await somebody.ids.asked(2)
    somebody.ids.hold.set()
    assert len({*await asyncio.gather(*renewals), await somebody.auth.renewed(stale)}) == 1
    assert somebody.ids.refreshes == 1


async def test_a_renewal_outlives_who_asked_for_it(somebody: Twitch) -> None:
    stale = await somebody.auth.access_token()
    somebody.ids.hold = asyncio.Event()
    asked = asyncio.create_task(somebody.auth.renewed(stale))
    await somebody.ids.asked(2)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    somebody.ids.hold.set()
    # Given up, it would have cost the login: a refresh token works once.
    assert await somebody.auth.renewed(stale) in somebody.ids.access
    assert somebody.ids.refreshes == 1


async def test_a_refused_renewal_ends_the_login(somebody: Twitch) -> None:
    somebody.ids.revoke()
    known = somebody.auth.login
    over = "the Twitch login has expired or was revoked: log in to Twitch again"
    with pytest.raises(NotLoggedIn, match=over):
        await somebody.auth.renewed(await somebody.auth.access_token())
    assert await somebody.auth.changed(known) is None
    assert somebody.auth.problems() == [over]
    assert not somebody.token_file.exists()
    with pytest.raises(NotLoggedIn, match=over):
        await somebody.auth.access_token()


async def test_an_app_that_is_not_public_is_told(somebody: Twitch) -> None:
    somebody.ids.client_secret_wanted = True
    with pytest.raises(NotLoggedIn, match=r"is not a public client.*change its type"):
        await somebody.auth.renewed(await somebody.auth.access_token())


async def test_a_fault_of_twitch_does_not_end_the_login(somebody: Twitch) -> None:
    token = await somebody.auth.access_token()
    somebody.ids.faults.extend([(500, {}, "")] * 3)
    with pytest.raises(Unreachable, match=r"has a fault \(status 500\): try again later"):
        await somebody.auth.renewed(token)
    assert await somebody.auth.renewed(token) != token
    # While the old one still works, a fault is no reason to stop.
    somebody.time.now += 14_400 - 30
    somebody.ids.faults.extend([(500, {}, "")] * 3)
    assert await somebody.auth.access_token() in somebody.ids.access


async def test_without_a_token_that_works_a_fault_is_told(somebody: Twitch) -> None:
    somebody.time.now += 14_400 + 1
    somebody.ids.faults.extend([(500, {}, "")] * 3)
    with pytest.raises(Unreachable):
        await somebody.auth.access_token()
    assert await somebody.auth.access_token() in somebody.ids.access


async def test_a_login_during_a_renewal_is_the_one_that_stays(somebody: Twitch) -> None:
    stale = await somebody.auth.access_token()
    somebody.ids.hold = asyncio.Event()
    renewal = asyncio.create_task(somebody.auth.renewed(stale))
    await somebody.ids.asked(2)
    code = await somebody.auth.begin_login()
    somebody.ids.approve(ANA)
    login = await somebody.auth.complete_login(code)
    somebody.ids.hold.set()
    assert somebody.ids.access[await renewal] == ANA
    assert somebody.auth.login == login


async def test_a_renewed_token_that_is_not_valid_either_ends_the_login(somebody: Twitch) -> None:
    invalid = (401, {}, "invalid access token")
    somebody.ids.expire()
    known = somebody.auth.login
    somebody.ids.faults.append(invalid)
    somebody.ids.hold = asyncio.Event()
    check = asyncio.create_task(somebody.auth.validate())
    await somebody.ids.asked(3)
    somebody.ids.faults.append(invalid)
    somebody.ids.hold.set()
    with pytest.raises(NotLoggedIn, match="log in to Twitch again"):
        await check
    assert await somebody.auth.changed(known) is None


async def test_a_renewal_of_another_process_is_taken_over(tmp_path: Path) -> None:
    async with twitch(tmp_path) as world:
        other = TwitchAuth(
            world.ids.origin, CLIENT_ID, world.token_file, clock=world.time, sleep=world.time.sleep
        )
        await other.start()
        stale = await world.auth.access_token()
        theirs = await other.renewed(stale)
        assert await world.auth.renewed(stale) == theirs
        assert world.ids.refreshes == 1
        await other.aclose()


@pytest.mark.parametrize("jump", [-10_000_000.0, 10_000_000.0])
async def test_a_clock_that_jumps_does_no_harm(somebody: Twitch, jump: float) -> None:
    # Only the wall clock: whoever waits goes on waiting.
    somebody.time.now += jump
    somebody.ids.expire()
    token = await somebody.auth.access_token()
    if token not in somebody.ids.access:
        token = await somebody.auth.renewed(token)
    assert token in somebody.ids.access
    assert (await somebody.auth.validate()).login == OWNER.login


# --- hourly check


async def test_the_login_is_checked_every_hour(somebody: Twitch) -> None:
    for hour in (1, 2):
        somebody.time.advance(VALIDATE_SECONDS)
        await somebody.ids.asked(1 + hour)
        await somebody.time.asleep()
    assert {request.path for request in somebody.ids.requests} == {"/oauth2/validate"}


async def test_a_revoked_login_is_noticed_within_the_hour(somebody: Twitch) -> None:
    known = somebody.auth.login
    somebody.ids.revoke()
    somebody.time.advance(VALIDATE_SECONDS)
    assert await somebody.auth.changed(known) is None
    assert somebody.auth.problems() == [
        "the Twitch login has expired or was revoked: log in to Twitch again"
    ]


async def test_an_expired_token_is_renewed_by_the_check(somebody: Twitch) -> None:
    somebody.ids.expire()
    assert (await somebody.auth.validate()).login == OWNER.login
    assert somebody.ids.refreshes == 1


async def test_the_check_tells_when_the_scopes_are_fewer(somebody: Twitch) -> None:
    known = somebody.auth.login
    token = await somebody.auth.access_token()
    somebody.ids.access[token] = Account(OWNER.login, OWNER.user_id)
    await somebody.auth.validate()
    login = await somebody.auth.changed(known)
    assert login is not None
    with pytest.raises(MissingScope, match=r"does not allow to sing \(user:sing\): log in"):
        login.require("user:sing", "sing")


async def test_a_check_that_does_not_arrive_is_repeated_sooner(somebody: Twitch) -> None:
    somebody.ids.faults.extend([(502, {}, "")] * 3)
    somebody.time.advance(VALIDATE_SECONDS)
    await somebody.ids.asked(4)
    await somebody.time.asleep()
    assert somebody.auth.login is not None
    assert somebody.time.slept[-1] == 60


# --- secrets


async def test_tokens_stay_out_of_logs_and_texts(
    somebody: Twitch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = await somebody.auth.access_token()
    somebody.ids.revoke()
    with pytest.raises(NotLoggedIn) as caught:
        await somebody.auth.renewed(token)
    code = await somebody.auth.begin_login()
    said = "\n".join([caplog.text, repr(caught.value), repr(code), repr(somebody.auth)])
    assert "access-" not in said
    assert "refresh-" not in said
    assert "device-code-secret" not in said
