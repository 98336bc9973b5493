"""Acts of a moderator, and that the login must allow them."""

from pathlib import Path

import pytest

from tests.fakes.twitch_account import OWNER, twitch
from tests.fakes.twitch_id import Account
from understudy.sources.twitch.errors import MissingScope, NotLoggedIn, Refused
from understudy.sources.twitch.moderating import ChatModerator

ROOM = {"broadcaster_id": ["71092938"], "moderator_id": [OWNER.user_id]}


async def test_deletion_timeout_and_ban(tmp_path: Path) -> None:
    async with twitch(tmp_path) as world:
        moderator = ChatModerator(world.helix, world.auth)
        await moderator.delete("understudy", "m-1")
        await moderator.timeout("understudy", "Ana", 600, "calm down")
        await moderator.timeout("understudy", "ana", 99_999_999)
        await moderator.ban("understudy", "ben", "x" * 600)
        assert world.api.deleted == [{**ROOM, "message_id": ["m-1"]}]
        assert world.api.bans == [
            (ROOM, {"user_id": "1001", "reason": "calm down", "duration": 600}),
            (ROOM, {"user_id": "1001", "reason": "", "duration": 1_209_600}),
            (ROOM, {"user_id": "1002", "reason": "x" * 500}),
        ]


async def test_a_message_that_is_gone_already_is_fine(tmp_path: Path) -> None:
    async with twitch(tmp_path) as world:
        moderator = ChatModerator(world.helix, world.auth)
        await moderator.delete("understudy", "m-1")
        world.api.faults.append((404, {}, "The ID in message_id was not found."))
        await moderator.delete("understudy", "m-1")
        world.api.faults.append((400, {}, "You may not delete another moderator's messages."))
        with pytest.raises(Refused, match="You may not delete another moderator's messages"):
            await moderator.delete("understudy", "m-2")


async def test_an_unknown_viewer_is_told(tmp_path: Path) -> None:
    async with twitch(tmp_path) as world:
        with pytest.raises(Refused, match="knows no account named nobody"):
            await ChatModerator(world.helix, world.auth).ban("understudy", "nobody")


async def test_the_login_must_allow_it(tmp_path: Path) -> None:
    async with twitch(tmp_path, Account("ana", "1001")) as world:
        moderator = ChatModerator(world.helix, world.auth)
        with pytest.raises(MissingScope, match=r"delete messages \(moderator:manage:chat_mess"):
            await moderator.delete("understudy", "m-1")
        with pytest.raises(MissingScope, match=r"\(moderator:manage:banned_users\)"):
            await moderator.ban("understudy", "ben")
        assert world.api.requests == []


async def test_somebody_must_be_logged_in(tmp_path: Path) -> None:
    async with twitch(tmp_path, None) as world:
        with pytest.raises(NotLoggedIn):
            await ChatModerator(world.helix, world.auth).timeout("understudy", "ben", 5)
