"""The rules of Twitch that its fakes must keep, or the tests against them prove nothing."""

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from tests.fakes.twitch_eventsub import TwitchEventSubServer


async def close_code_of(server: TwitchEventSubServer, *says: str, moves: bool = False) -> int:
    """The code with which a client is sent away."""
    async with connect(server.url) as client:
        frame = msgspec.json.decode(await client.recv())
        assert frame["metadata"]["message_type"] == "session_welcome"
        if moves:
            await server.ask_to_move()
        for text in says:
            await client.send(text)
        with pytest.raises(ConnectionClosedError) as caught:
            await read_to_the_end(client)
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code


async def read_to_the_end(client: ClientConnection) -> None:
    while True:
        await client.recv()


async def test_a_client_must_not_say_anything() -> None:
    async with TwitchEventSubServer() as server:
        assert await close_code_of(server, "hello") == 4001


async def test_a_client_must_subscribe() -> None:
    async with TwitchEventSubServer(unused_seconds=0) as server:
        assert await close_code_of(server) == 4003


async def test_a_client_must_move() -> None:
    async with TwitchEventSubServer(grace_seconds=0) as server:
        assert await close_code_of(server, moves=True) == 4004
