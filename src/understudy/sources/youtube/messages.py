"""What a `liveChatMessage` of YouTube says, as an event.

Owns the parts of the resource that are used and their meaning. Does not own how they are fetched
(`api`). See https://developers.google.com/youtube/v3/live/docs/liveChatMessages.
"""

from typing import Final

import msgspec

from understudy.events import ChatMessage, Event, Moderation, Role, StreamEvent
from understudy.sources.recorded import LineError, StreamKind, parse_time

PLATFORM: Final = "youtube"
_MICROS: Final = 1_000_000


class _Camel(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the resource; what is missing is empty, what is unknown is skipped."""


class _Author(_Camel, frozen=True):
    channel_id: str = ""
    display_name: str = ""
    is_chat_owner: bool = False
    is_chat_sponsor: bool = False
    is_chat_moderator: bool = False


class _Text(_Camel, frozen=True):
    message_text: str = ""


class _Deleted(_Camel, frozen=True):
    deleted_message_id: str = ""


class _Retracted(_Camel, frozen=True):
    retracted_message_id: str = ""


class _Banned(_Camel, frozen=True):
    banned_user_details: _Author = _Author()
    ban_type: str = ""


class _Money(_Camel, frozen=True):
    amount_micros: int = 0
    currency: str = ""
    amount_display_string: str = ""
    tier: int = 0
    user_comment: str = ""


class _NewMember(_Camel, frozen=True):
    member_level_name: str = ""
    is_upgrade: bool = False


class _Milestone(_Camel, frozen=True):
    user_comment: str = ""
    member_month: int = 0
    member_level_name: str = ""


class _Gifting(_Camel, frozen=True):
    gift_memberships_count: int = 0
    gift_memberships_level_name: str = ""


class _Gift(_Camel, frozen=True):
    gift_name: str = ""
    jewels_amount: int = 0
    combo_count: int = 0


class _GiftEvent(_Camel, frozen=True):
    gift_metadata: _Gift = _Gift()


class _Snippet(_Camel, frozen=True):
    type: str = ""
    author_channel_id: str = ""
    published_at: str = ""
    display_message: str = ""
    text_message_details: _Text = _Text()
    message_deleted_details: _Deleted = _Deleted()
    message_retracted_details: _Retracted = _Retracted()
    user_banned_details: _Banned = _Banned()
    super_chat_details: _Money = _Money()
    super_sticker_details: _Money = _Money()
    new_sponsor_details: _NewMember = _NewMember()
    member_milestone_chat_details: _Milestone = _Milestone()
    membership_gifting_details: _Gifting = _Gifting()
    # The reference and the discovery document disagree on the place of a gift.
    gift_event_details: _GiftEvent = _GiftEvent()
    gift_details: _Gift = _Gift()


class LiveChatMessage(_Camel, frozen=True):
    """One item of a page of chat."""

    id: str = ""
    snippet: _Snippet = _Snippet()
    author_details: _Author = _Author()

    @property
    def ends_chat(self) -> bool:
        """Whether it says that the chat is over."""
        return self.snippet.type == "chatEndedEvent"

    @property
    def ts(self) -> int | None:
        """When it was sent, in ms since the epoch; None when it does not say."""
        try:
            return parse_time(self.snippet.published_at)
        except LineError:
            return None


# Google writes 64-bit numbers as texts.
_decoder = msgspec.json.Decoder(LiveChatMessage, strict=False)


def decode_message(data: msgspec.Raw | bytes) -> LiveChatMessage | None:
    """The message in `data`; None when it is not of the expected form."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def event_of(item: LiveChatMessage, channel: str, now: int) -> Event | None:
    """The event that `item` tells; None for what is not ours to tell, such as polls.

    `now`, in ms, is the time of items that carry none.
    """
    if not item.id:
        return None
    ts = now if item.ts is None else item.ts
    act = _moderation(item, channel, ts)
    if act is not None:
        return act
    if not _login(item):
        return None
    if item.snippet.type == "textMessageEvent":
        return _chat(item, channel, ts)
    return _stream_event(item, channel, ts)


def _chat(item: LiveChatMessage, channel: str, ts: int) -> ChatMessage | None:
    snippet, author = item.snippet, item.author_details
    text = snippet.text_message_details.message_text or snippet.display_message
    if not text.strip():
        return None
    return ChatMessage(
        id=item.id,
        channel=channel,
        ts=ts,
        user=_login(item),
        name=_name(author),
        text=text,
        platform=PLATFORM,
        role=_role(author),
        tags={"channel-id": _channel_id(item)},
    )


def _stream_event(item: LiveChatMessage, channel: str, ts: int) -> StreamEvent | None:
    told = _told(item.snippet)
    if told is None:
        return None
    kind, amount, text, tags = told
    return StreamEvent(
        id=item.id,
        channel=channel,
        ts=ts,
        kind=kind,
        user=_login(item),
        name=_name(item.author_details),
        platform=PLATFORM,
        amount=amount,
        text=text,
        tags={"channel-id": _channel_id(item), **{name: tag for name, tag in tags.items() if tag}},
    )


def _told(snippet: _Snippet) -> tuple[StreamKind, int, str, dict[str, str]] | None:
    """Kind, number, words and tags of what happened; None for what is not told."""
    match snippet.type:
        case "superChatEvent":
            money = snippet.super_chat_details
            return "cheer", 0, money.user_comment, {"event": "super-chat", **_money(money)}
        case "superStickerEvent":
            money = snippet.super_sticker_details
            return "cheer", 0, "", {"event": "super-sticker", **_money(money)}
        case "newSponsorEvent":
            new = snippet.new_sponsor_details
            upgrade = "true" if new.is_upgrade else ""
            return "sub", 1, "", {"level": new.member_level_name, "upgrade": upgrade}
        case "memberMilestoneChatEvent":
            old = snippet.member_milestone_chat_details
            return "resub", old.member_month, old.user_comment, {"level": old.member_level_name}
        case "membershipGiftingEvent":
            gifts = snippet.membership_gifting_details
            level = {"level": gifts.gift_memberships_level_name}
            return "gift", gifts.gift_memberships_count, "", level
        case "giftMembershipReceivedEvent":
            # Thanks go to the giver, once: by `membershipGiftingEvent`.
            return "other", 0, "", {"event": "gift-membership-received"}
        case "giftEvent":
            return "other", 0, "", _gift(snippet)
        case _:
            return None


def _money(money: _Money) -> dict[str, str]:
    """Money as tags: the number of a cheer is bits, which this is not."""
    return {
        "amount": f"{money.amount_micros / _MICROS:.2f}",
        "currency": money.currency,
        "amount-display": money.amount_display_string,
        "tier": str(money.tier) if money.tier else "",
    }


def _gift(snippet: _Snippet) -> dict[str, str]:
    gift = snippet.gift_details
    if not gift.gift_name:
        gift = snippet.gift_event_details.gift_metadata
    return {
        "event": "gift",
        "gift": gift.gift_name,
        "jewels": str(gift.jewels_amount) if gift.jewels_amount else "",
    }


def _moderation(item: LiveChatMessage, channel: str, ts: int) -> Moderation | None:
    snippet = item.snippet
    match snippet.type:
        case "messageDeletedEvent":
            gone = snippet.message_deleted_details.deleted_message_id
        case "messageRetractedEvent":
            gone = snippet.message_retracted_details.retracted_message_id
        case "tombstone":
            # What was a message is an empty place under the same id.
            gone = item.id
        case "userBannedEvent":
            return _ban(item, channel, ts)
        case _:
            return None
    if not gone:
        return None
    act_id = item.id if gone != item.id else f"{item.id}:deleted"
    return Moderation(id=act_id, channel=channel, ts=ts, kind="delete", message_id=gone)


def _ban(item: LiveChatMessage, channel: str, ts: int) -> Moderation | None:
    banned = item.snippet.user_banned_details
    user = banned.banned_user_details.channel_id.lower()
    if not user:
        return None
    kind = "timeout" if banned.ban_type == "temporary" else "ban"
    return Moderation(id=item.id, channel=channel, ts=ts, kind=kind, user=user)


def _channel_id(item: LiveChatMessage) -> str:
    return item.author_details.channel_id or item.snippet.author_channel_id


def _login(item: LiveChatMessage) -> str:
    """The author's channel id in small letters: names change, and bans go by the id."""
    return _channel_id(item).lower()


def _name(author: _Author) -> str:
    return author.display_name.removeprefix("@")


def _role(author: _Author) -> Role:
    if author.is_chat_owner:
        return "streamer"
    if author.is_chat_moderator:
        return "moderator"
    return "subscriber" if author.is_chat_sponsor else "viewer"
