"""A typed client of a running Understudy server, blocking and asynchronous.

    with Client("http://127.0.0.1:8000") as client:
        session = client.start("ana", persona="calm_coach")
        for event in client.stream(session.session_id, "How do I calm down?"):
            if isinstance(event, Token):
                print(event.text, end="", flush=True)

An answer is streamed without a lost or doubled token even when the connection breaks: the client
goes on where it was. It needs nothing of the server's code, only msgspec and httpx2; the live feed
also needs websockets.
"""

from understudy.client.asynchronous import AsyncAnswerStream, AsyncClient
from understudy.client.backoff import Backoff
from understudy.client.blocking import AnswerStream, Client
from understudy.client.errors import (
    ApiError,
    ClientError,
    ConnectionLost,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerFailed,
    SessionEnded,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from understudy.client.events import (
    Answer,
    Done,
    Failed,
    History,
    HistoryMessage,
    Session,
    StreamEvent,
    Token,
    Usage,
)
from understudy.client.frames import (
    ChatFrame,
    Events,
    Gap,
    LiveFrame,
    Snapshot,
    decode_chat_frame,
    decode_live_frame,
)

__all__ = [
    "Answer",
    "AnswerStream",
    "ApiError",
    "AsyncAnswerStream",
    "AsyncClient",
    "Backoff",
    "ChatFrame",
    "Client",
    "ClientError",
    "ConnectionLost",
    "Done",
    "Events",
    "Failed",
    "Forbidden",
    "Gap",
    "Gone",
    "History",
    "HistoryMessage",
    "Invalid",
    "LiveFrame",
    "NotFound",
    "ServerFailed",
    "Session",
    "SessionEnded",
    "Snapshot",
    "StreamEvent",
    "Token",
    "TooManyRequests",
    "Unauthorized",
    "Unreachable",
    "Usage",
    "decode_chat_frame",
    "decode_live_frame",
]
