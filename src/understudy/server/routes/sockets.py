"""The chat sockets: `/ws`, `/ws/chat`, `/ws/chat/auth`, and the tickets they are opened with.

One task reads and one answers, so a peer may go on sending while it is answered; what it sends
meanwhile waits in a short queue, and beyond that the socket is simply not read.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from fastapi import APIRouter, WebSocket

from understudy.brains.base import BrainError
from understudy.engine.commands import CommandError, parse, plain_message
from understudy.engine.runs import Run, TokenFrame
from understudy.engine.sessions import SessionEnded
from understudy.engine.turns import Busy
from understudy.safety.text import clean
from understudy.server.access import (
    ServicesDep,
    Viewer,
    check_token_limit,
    identify_socket,
    standing_of,
    too_many,
    user_of,
)
from understudy.server.audience import has_left
from understudy.server.auth import LOCAL_OWNER, AuthError, Principal
from understudy.server.bodies import NAME_CHARS, SESSION_CHARS
from understudy.server.conversation import (
    check_message,
    check_session_limit,
    open_session,
    start_turn,
    whole_reply,
)
from understudy.server.problems import Problem
from understudy.server.services import Services, services_of
from understudy.storage.errors import StorageError
from understudy.storage.sessions import SessionRow

router = APIRouter()

BAD_TOKEN = 4401
GUEST = "guest"
"""Who speaks on a socket without a token."""
INBOX = 16
"""Messages of one socket that may wait while one is answered."""
_PEER_ERRORS = (Problem, BrainError, Busy, StorageError, SessionEnded)


class PlainIn(msgspec.Struct):
    """A message on `/ws`."""

    session_id: str
    user: str
    message: str


class ChatIn(msgspec.Struct):
    """A message on `/ws/chat`."""

    message: str
    stream: bool = False


_plain_decoder = msgspec.json.Decoder(PlainIn)
_chat_decoder = msgspec.json.Decoder(ChatIn)


@router.post("/ws/ticket", tags=["chat"])
async def ticket(services: ServicesDep, caller: Viewer) -> dict[str, str]:
    """A single-use ticket that opens a socket within 30 seconds."""
    return {"ticket": services.tickets.issue(caller)}


@router.websocket("/ws")
async def plain_socket(socket: WebSocket) -> None:
    """Messages that name their session; each is answered whole."""
    services = services_of(socket)
    caller = await _enter(socket, services, required=services.settings.auth_required)
    if caller is None:
        return
    await _serve(socket, services, _Plain(services, caller))


@router.websocket("/ws/chat")
async def chat_socket(socket: WebSocket) -> None:
    """Anonymous chat with commands; one session per connection."""
    services = services_of(socket)
    caller = await _enter(socket, services, required=services.settings.auth_required)
    if caller is None:
        return
    await _serve(socket, services, _Chat(services, caller, client=""))


@router.websocket("/ws/chat/auth")
async def authenticated_chat_socket(socket: WebSocket) -> None:
    """The same for a token's owner, whose saved context follows them."""
    services = services_of(socket)
    caller = await _enter(socket, services, required=True)
    if caller is None:
        return
    await _serve(socket, services, _Chat(services, caller, client=f"user:{caller.user}"))


class _Plain:
    """The conversation on `/ws`."""

    def __init__(self, services: Services, caller: Principal) -> None:
        self.caller = caller
        self._services = services

    async def greet(self) -> AsyncGenerator[object]:
        for frame in ():
            yield frame

    async def answer(self, data: str) -> AsyncGenerator[object]:
        """The frames that answer one text frame."""
        body = _plain_decoder.decode(data)
        session_id, user = clean(body.session_id), clean(body.user)
        if not 1 <= len(session_id) <= SESSION_CHARS or not 1 <= len(user) <= NAME_CHARS:
            raise Problem(422, "session_id and user must have 1 to 200 characters")
        text = clean(body.message)
        check_message(self._services, text)
        session = await open_session(self._services, self.caller, session_id, user)
        check_session_limit(self._services, session.id)
        speaker = user_of(self.caller, user)
        role = standing_of(self.caller, speaker)
        run = await start_turn(self._services, session, text, user=speaker, role=role)
        reply, message_id = await whole_reply(run)
        yield {"session_id": session.id, "reply": reply.text, "message_id": message_id}


class _Chat:
    """The conversation on `/ws/chat`: commands, whole answers, streamed answers."""

    def __init__(self, services: Services, caller: Principal, client: str) -> None:
        self.caller = caller
        self._services = services
        self._client = client
        self._session: SessionRow | None = None

    async def greet(self) -> AsyncGenerator[object]:
        yield {"type": "system", "message": "connected: say something, or /help for commands"}

    async def answer(self, data: str) -> AsyncGenerator[object]:
        """The frames that answer one text frame."""
        body = _chat_decoder.decode(data)
        text = clean(body.message)
        check_message(self._services, text)
        session = await self._open()
        check_session_limit(self._services, session.id)
        command = parse(text)
        client = self._client or session.id
        if command is not None:
            result = await self._services.commands.run(
                command, session=session.id, client=client, user=self.caller.user
            )
            yield {"type": "command_response", "command": command.name, "result": result}
            return
        grace = self._services.settings.server.stream_grace
        run = await start_turn(
            self._services,
            session,
            plain_message(text),
            role=standing_of(self.caller, session.user),
            client=client,
            grace=grace,
        )
        with run.reading():
            if body.stream:
                async with aclosing(_tokens(run)) as tokens:
                    async for token in tokens:
                        yield token
            reply, _ = await whole_reply(run)
        yield {"type": "message", "content": reply.text}

    async def _open(self) -> SessionRow:
        """The connection's session, started with its first message."""
        if self._session is None:
            persona = self._services.settings.persona.default
            user = self.caller.user if self._client else GUEST
            self._session = await self._services.sessions.start(user, persona)
        return self._session


async def _tokens(run: Run) -> AsyncGenerator[object]:
    async for batch in run.log.follow():
        if isinstance(batch, list):
            for _, frame in batch:
                if isinstance(frame, TokenFrame):
                    yield {"type": "token", "content": frame.text}


async def _enter(socket: WebSocket, services: Services, *, required: bool) -> Principal | None:
    """Accept the socket and say who it is; a bad token closes it with 4401."""
    try:
        caller = identify_socket(socket, services, "viewer")
        if caller is None and required:
            raise AuthError("this socket asks for a token: add ?ticket=… from POST /ws/ticket")
    except AuthError as error:
        await socket.accept()
        await socket.close(BAD_TOKEN, str(error)[:120])
        return None
    await socket.accept()
    return caller or LOCAL_OWNER


async def _serve(socket: WebSocket, services: Services, conversation: _Plain | _Chat) -> None:
    """Answer the peer's messages one after another until it leaves."""
    gauge = services.metrics.sockets.labels(socket.url.path)
    gauge.inc()
    inbox: asyncio.Queue[str] = asyncio.Queue(maxsize=INBOX)
    tasks = [
        asyncio.create_task(_read(socket, inbox), name="socket reader"),
        asyncio.create_task(
            _answer_all(socket, services, inbox, conversation), name="socket answerer"
        ),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gauge.dec()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not has_left(socket, result):
            raise result


async def _read(socket: WebSocket, inbox: asyncio.Queue[str]) -> None:
    """Queue what the peer sends until it leaves."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        await inbox.put(message.get("text") or "")


async def _answer_all(
    socket: WebSocket,
    services: Services,
    inbox: asyncio.Queue[str],
    conversation: _Plain | _Chat,
) -> None:
    async for frame in conversation.greet():
        await _send(socket, frame)
    while True:
        data = await inbox.get()
        try:
            _check_limits(socket, services, conversation.caller)
            async with aclosing(conversation.answer(data)) as frames:
                async for frame in frames:
                    await _send(socket, frame)
        except CommandError as error:
            await _send(socket, _error(str(error)))
        except (msgspec.DecodeError, RecursionError):
            await _send(socket, _error('the frame is not understood: send {"message": "…"}'))
        except _PEER_ERRORS as error:
            await _send(socket, _error(str(error)))


def _check_limits(socket: WebSocket, services: Services, caller: Principal) -> None:
    """A message on a socket counts like a request, or sockets would be a way around the limits."""
    wait = services.limits.address.take(socket.client.host if socket.client else "")
    if wait > 0:
        raise too_many("from this address", wait)
    check_token_limit(services, caller)


def _error(message: str) -> dict[str, str]:
    return {"type": "error", "message": message}


async def _send(socket: WebSocket, frame: object) -> None:
    await socket.send_text(msgspec.json.encode(frame).decode())
