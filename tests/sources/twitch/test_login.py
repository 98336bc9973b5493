"""One login at a time: what is kept of it when it breaks, is given up, or is stopped."""

import asyncio
from pathlib import Path

from tests.fakes.twitch_account import OWNER, twitch
from tests.waiting import until
from understudy.sources.twitch.id_api import DeviceCode
from understudy.sources.twitch.login import TwitchLogin


async def test_a_login_that_breaks_is_told_and_another_can_begin(tmp_path: Path) -> None:
    async with twitch(tmp_path, None) as world:
        login = TwitchLogin(world.auth, clock=world.time)

        async def fail(code: DeviceCode) -> None:
            raise ZeroDivisionError(code)

        complete = world.auth.complete_login
        world.auth.complete_login = fail  # type: ignore[method-assign, assignment]
        await login.begin()
        await until(lambda: login.failure)
        assert "see the server's log" in login.failure
        assert login.pending is None
        world.auth.complete_login = complete  # type: ignore[method-assign]
        world.ids.approve(OWNER)
        await login.begin()
        await until(lambda: login.pending is None)
        assert login.failure == ""
        assert login.account is not None


async def test_the_time_that_is_left(tmp_path: Path) -> None:
    async with twitch(tmp_path, None) as world:
        # Nothing is asked for a long time, and no time passes by itself.
        world.ids.interval = 600
        login = TwitchLogin(world.auth, clock=world.time)
        pending = await login.begin()
        assert login.seconds_left(pending) == 1800
        world.time.advance(10)
        assert login.seconds_left(pending) == 1790
        world.time.advance(10_000)
        assert login.seconds_left(pending) == 0
        await login.aclose()


async def test_stopping_leaves_no_task_and_no_login(tmp_path: Path) -> None:
    async with twitch(tmp_path, None) as world:
        world.ids.interval = 600
        login = TwitchLogin(world.auth, clock=world.time)
        await login.begin()
        await login.aclose()
        await login.aclose()
        assert "twitch login" not in {task.get_name() for task in asyncio.all_tasks()}
        assert (login.pending, login.account) == (None, None)


async def test_logging_out_while_the_login_is_stored_leaves_no_file(tmp_path: Path) -> None:
    async with twitch(tmp_path, None) as world:
        login = TwitchLogin(world.auth, clock=world.time)
        world.ids.approve(OWNER)
        await login.begin()
        # As soon as the token is taken: it is being written.
        await world.auth.changed(None)
        await login.end()
        assert login.account is None
        assert not world.token_file.exists()
