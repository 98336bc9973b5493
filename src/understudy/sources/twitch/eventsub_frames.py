"""One message of Twitch's EventSub socket.

Owns the envelope: metadata, and the payload by the type of message. Does not own what a
notification tells (`eventsub_events`) nor the order of messages (`eventsub_session`).

https://dev.twitch.tv/docs/eventsub/websocket-reference
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

DEFAULT_KEEPALIVE_SECONDS: Final = 10.0


class BadFrame(ValueError):
    """What came is none of the messages that EventSub sends."""


class Subscription(msgspec.Struct, frozen=True):
    """What was subscribed to; `status` says why it has ended, if it has."""

    type: str
    id: str = ""
    version: str = ""
    status: str = ""
    condition: dict[str, str | None] = {}

    @property
    def broadcaster_id(self) -> str:
        """The number of the channel it is about; empty when it is about none."""
        about = ("broadcaster_user_id", "to_broadcaster_user_id", "from_broadcaster_user_id")
        return next((number for name in about if (number := self.condition.get(name))), "")


class Welcome(msgspec.Struct, frozen=True):
    """The connection stands; subscriptions name `session`."""

    session: str
    keepalive_seconds: float


class Keepalive(msgspec.Struct, frozen=True):
    """Nothing happened, and the connection is fine."""


class Notification(msgspec.Struct, frozen=True):
    """Something happened; `id` is the same when it is sent again, `ts` is in ms UTC."""

    id: str
    ts: int
    subscription: Subscription
    event: msgspec.Raw


class Reconnect(msgspec.Struct, frozen=True):
    """The server wants the connection moved to `url`; subscriptions move along."""

    url: str


class Revocation(msgspec.Struct, frozen=True):
    """A subscription has ended for good."""

    subscription: Subscription


Frame = Welcome | Keepalive | Notification | Reconnect | Revocation


class _Metadata(msgspec.Struct):
    message_id: str
    message_type: str
    message_timestamp: str


class _Envelope(msgspec.Struct):
    metadata: _Metadata
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class _Session(msgspec.Struct):
    id: str = ""
    keepalive_timeout_seconds: float | None = None
    reconnect_url: str | None = None


class _SessionPayload(msgspec.Struct):
    session: _Session


class _Happening(msgspec.Struct):
    subscription: Subscription
    event: msgspec.Raw = msgspec.Raw()
    # One type hands out several at once: drop.entitlement.grant.
    events: msgspec.Raw = msgspec.Raw()


_read_envelope = msgspec.json.Decoder(_Envelope).decode
_read_session = msgspec.json.Decoder(_SessionPayload).decode
_read_happening = msgspec.json.Decoder(_Happening).decode


def read_frame(data: str | bytes) -> Frame:
    """The message in `data`; raises `BadFrame`."""
    try:
        envelope = _read_envelope(data)
        read = _READERS.get(envelope.metadata.message_type)
        if read is None:
            raise BadFrame("a message of an unknown type")
        return read(envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"not a message of EventSub: {error}") from None


def _welcome(envelope: _Envelope) -> Welcome:
    session = _read_session(envelope.payload).session
    if not session.id:
        raise BadFrame("a welcome without a session")
    keepalive = session.keepalive_timeout_seconds or 0.0
    return Welcome(session.id, keepalive if keepalive > 0 else DEFAULT_KEEPALIVE_SECONDS)


def _keepalive(envelope: _Envelope) -> Keepalive:
    return Keepalive()


def _notification(envelope: _Envelope) -> Notification:
    happening = _read_happening(envelope.payload)
    event = happening.event if bytes(happening.event) else happening.events
    if not bytes(event):
        raise BadFrame("a notification without an event")
    metadata = envelope.metadata
    ts = parse_timestamp(metadata.message_timestamp)
    return Notification(metadata.message_id, ts, happening.subscription, event)


def _reconnect(envelope: _Envelope) -> Reconnect:
    url = _read_session(envelope.payload).session.reconnect_url or ""
    if not url.startswith(("wss://", "ws://")):
        raise BadFrame("a reconnect without an address")
    return Reconnect(url)


def _revocation(envelope: _Envelope) -> Revocation:
    return Revocation(_read_happening(envelope.payload).subscription)


_READERS: Final[dict[str, Callable[[_Envelope], Frame]]] = {
    "session_welcome": _welcome,
    "session_keepalive": _keepalive,
    "notification": _notification,
    "session_reconnect": _reconnect,
    "revocation": _revocation,
}


def parse_timestamp(text: str) -> int:
    """RFC 3339 with up to nine decimals as ms since the epoch, UTC; raises `BadFrame`."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadFrame("a message without a time") from None
