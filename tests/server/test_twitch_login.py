"""Logging in to Twitch and out of it over HTTP, against its login server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.twitch_helix import TwitchHelixServer
from tests.fakes.twitch_id import CLIENT_ID, Account, TwitchIdServer
from tests.server.wire import SECRET, assert_problem, bearer
from tests.serving import Running, running, settings_for
from understudy.events import now_ms
from understudy.sources.twitch.scopes import ALLOWS, LOGIN_SCOPES

TWITCH, LOGIN = "/api/v1/twitch", "/api/v1/twitch/login"
COHOST = Account("cohost", "4242", LOGIN_SCOPES)


@pytest.fixture
async def ids() -> AsyncIterator[TwitchIdServer]:
    async with TwitchIdServer() as ids:
        ids.interval = 0.01
        yield ids


@asynccontextmanager
async def serving(
    folder: Path, ids: TwitchIdServer, helix_url: str = "http://127.0.0.1:9/helix", **flags: Any
) -> AsyncIterator[Running]:
    twitch = {"twitch__client_id": CLIENT_ID, "twitch__id_url": ids.origin}
    async with running(
        settings_for(folder, **twitch, twitch__helix_url=helix_url, **flags)
    ) as server:
        yield server


async def state(server: Running) -> dict[str, Any]:
    response = await server.http.get(TWITCH)
    assert response.status_code == 200, response.text
    return response.json()


async def until_state(server: Running, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The state as soon as `holds` is true of it."""
    async with asyncio.timeout(10):
        while not holds(found := await state(server)):  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.01)
    return found


async def test_a_whole_login(tmp_path: Path, ids: TwitchIdServer) -> None:
    async with serving(tmp_path, ids) as server:
        before = await state(server)
        assert (before["client_id_set"], before["login"], before["pending"]) == (True, None, None)
        assert [each["scope"] for each in before["missing"]] == list(ALLOWS)
        assert before["problems"] == []
        begun = (await server.http.post(LOGIN)).json()
        assert begun["user_code"] == "ABCDEFGH"
        assert begun["verification_uri"].startswith("https://www.twitch.tv/activate")
        assert 1790 <= begun["expires_in"] <= 1800
        assert "device_code" not in begun
        again = (await server.http.post(LOGIN)).json()
        assert {**again, "expires_in": 0} == {**begun, "expires_in": 0}
        assert ids.codes == 1
        assert (await state(server))["pending"]["user_code"] == "ABCDEFGH"
        ids.approve(COHOST)
        after = await until_state(server, lambda found: found["login"])
        assert (after["login"], after["missing"], after["failure"]) == ("cohost", [], "")
        assert after["scopes"] == sorted(LOGIN_SCOPES)
        assert after["pending"] is None
        assert (tmp_path / "twitch.token").stat().st_mode & 0o777 == 0o600
    async with serving(tmp_path, ids) as server:
        assert (await state(server))["login"] == "cohost", "the next start takes it up"


async def test_two_who_begin_at_once_get_the_same_code(tmp_path: Path, ids: TwitchIdServer) -> None:
    async with serving(tmp_path, ids) as server:
        both = await asyncio.gather(server.http.post(LOGIN), server.http.post(LOGIN))
        assert [response.status_code for response in both] == [200, 200]
        assert ids.codes == 1


async def test_a_login_with_fewer_scopes_says_what_is_missing(
    tmp_path: Path, ids: TwitchIdServer
) -> None:
    async with serving(tmp_path, ids) as server:
        ids.approve(Account("cohost", "4242", tuple(s for s in ALLOWS if s != "user:write:chat")))
        await server.http.post(LOGIN)
        after = await until_state(server, lambda found: found["login"])
        assert after["missing"] == [
            {"scope": "user:write:chat", "allows": "say replies in the chat"}
        ]


async def test_a_login_that_is_denied(tmp_path: Path, ids: TwitchIdServer) -> None:
    async with serving(tmp_path, ids) as server:
        ids.answers.append("access_denied")
        await server.http.post(LOGIN)
        after = await until_state(server, lambda found: found["failure"])
        assert "turned down" in after["failure"]
        assert (after["login"], after["pending"]) == (None, None)
        # The next attempt begins anew and takes the sentence away.
        await server.http.post(LOGIN)
        assert (ids.codes, (await state(server))["failure"]) == (2, "")


async def test_a_code_that_nobody_enters(tmp_path: Path, ids: TwitchIdServer) -> None:
    ids.code_seconds = 0.2
    async with serving(tmp_path, ids) as server:
        await server.http.post(LOGIN)
        after = await until_state(server, lambda found: found["failure"])
        assert "has expired: begin the login again" in after["failure"]
        assert after["pending"] is None


async def test_a_login_that_is_given_up(tmp_path: Path, ids: TwitchIdServer) -> None:
    async with serving(tmp_path, ids) as server:
        await server.http.post(LOGIN)
        assert (await server.http.delete(LOGIN)).status_code == 204
        ids.approve(COHOST)
        after = await state(server)
        assert (after["pending"], after["login"], after["failure"]) == (None, None, "")
        await server.http.post(LOGIN)
        assert ids.codes == 2


async def test_logging_out(tmp_path: Path, ids: TwitchIdServer) -> None:
    async with serving(tmp_path, ids) as server:
        ids.approve(COHOST)
        await server.http.post(LOGIN)
        await until_state(server, lambda found: found["login"])
        assert ids.access
        assert (await server.http.delete(LOGIN)).status_code == 204
        after = await state(server)
        assert (after["login"], after["scopes"], after["failure"]) == (None, [], "")
        assert not ids.access, "the token is worthless"
        assert not (tmp_path / "twitch.token").exists()
        assert (await server.http.delete(LOGIN)).status_code == 204, "once more is fine"


async def test_logging_out_while_twitch_is_away(tmp_path: Path, ids: TwitchIdServer) -> None:
    async with serving(tmp_path, ids) as server:
        ids.approve(COHOST)
        await server.http.post(LOGIN)
        await until_state(server, lambda found: found["login"])
        ids.faults.extend([(503, {}, "")] * 3)
        assert (await server.http.delete(LOGIN)).status_code == 204
        after = await state(server)
        assert after["login"] is None
        assert "disconnect Understudy at twitch.tv/settings/connections" in after["failure"]


async def test_a_token_file_that_cannot_be_removed(tmp_path: Path, ids: TwitchIdServer) -> None:
    async with serving(tmp_path, ids) as server:
        (tmp_path / "twitch.token" / "in the way").mkdir(parents=True)
        detail = assert_problem(await server.http.delete(LOGIN), 503, "cannot be removed")
        assert "the login is back at the next start" in detail


async def test_a_login_that_is_revoked_later(tmp_path: Path, ids: TwitchIdServer) -> None:
    async with TwitchHelixServer(ids) as api:
        api.users = {"ana": "1001"}
        flags = {"twitch__send": True}
        async with serving(tmp_path, ids, api.url, **flags) as server:
            ids.approve(COHOST)
            await server.http.post(LOGIN)
            await until_state(server, lambda found: found["login"])
            ids.revoke()
            live = server.application.services
            assert live.twitch is not None
            # What is asked next notices it.
            await _ask_helix(server)
            after = await state(server)
            assert after["login"] is None
            (problem,) = after["problems"]
            assert problem == (
                "the Twitch login has expired or was revoked: log in to Twitch again"
            )
            assert problem in live.problems()
            assert not any("nobody is logged in" in other for other in live.problems())


async def _ask_helix(server: Running) -> None:
    twitch = server.application._live.twitch
    assert twitch is not None
    with pytest.raises(Exception, match="expired or was revoked"):
        await twitch.moderator.delete("ana", f"m-{now_ms()}")


async def test_a_client_id_that_twitch_does_not_know(tmp_path: Path, ids: TwitchIdServer) -> None:
    settings = settings_for(tmp_path, twitch__client_id="other", twitch__id_url=ids.origin)
    async with running(settings) as server:
        assert_problem(await server.http.post(LOGIN), 422, "check twitch.client_id")


async def test_a_twitch_that_is_away(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path, twitch__client_id=CLIENT_ID, twitch__id_url="http://127.0.0.1:9"
    )
    async with running(settings) as server:
        assert_problem(await server.http.post(LOGIN), 502, "check the internet connection")


async def test_without_a_client_id(server: Running) -> None:
    assert (await state(server))["client_id_set"] is False
    for response in (await server.http.post(LOGIN), await server.http.delete(LOGIN)):
        assert_problem(response, 409, "register a public app at dev.twitch.tv/console")


async def test_only_the_owner_may_see_or_do_this(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET)
    async with running(settings) as server:
        moderator = bearer(role="moderator")
        for method, path in (("GET", TWITCH), ("POST", LOGIN), ("DELETE", LOGIN)):
            assert_problem(await server.http.request(method, path), 401)
            assert_problem(await server.http.request(method, path, headers=moderator), 403)
        owner = await server.http.get(TWITCH, headers=bearer(role="owner"))
        assert owner.json()["client_id_set"] is False
