"""What a Twitch login may allow, by the names Twitch gives it.

Owns the names, what each is good for and which of them a login asks for. Does not own what is
done when one is missing.
"""

from collections.abc import Mapping
from typing import Final

READ_CHAT: Final = "user:read:chat"
WRITE_CHAT: Final = "user:write:chat"
MODERATED_CHANNELS: Final = "user:read:moderated_channels"
DELETE_MESSAGES: Final = "moderator:manage:chat_messages"
BAN: Final = "moderator:manage:banned_users"
FOLLOWERS: Final = "moderator:read:followers"
SUBSCRIPTIONS: Final = "channel:read:subscriptions"
BITS: Final = "bits:read"
POLLS: Final = "channel:read:polls"
PREDICTIONS: Final = "channel:read:predictions"
REDEMPTIONS: Final = "channel:read:redemptions"
HYPE_TRAIN: Final = "channel:read:hype_train"
ADS: Final = "channel:read:ads"

ALLOWS: Final[Mapping[str, str]] = {
    READ_CHAT: "read the chat through EventSub too",
    WRITE_CHAT: "say replies in the chat",
    MODERATED_CHANNELS: "send faster where the account is a moderator",
    DELETE_MESSAGES: "take back replies to messages that a moderator removed",
    BAN: "time viewers out or ban them",
    FOLLOWERS: "hear of new followers",
    SUBSCRIPTIONS: "hear of subscriptions without the chat",
    BITS: "hear of cheers without the chat",
    POLLS: "hear of polls",
    PREDICTIONS: "hear of predictions",
    REDEMPTIONS: "hear of redeemed channel points",
    HYPE_TRAIN: "hear of hype trains",
    ADS: "hear of ad breaks",
}
"""What each of them lets Understudy do."""

LOGIN_SCOPES: Final = tuple(ALLOWS)
"""All that Understudy has a use for; whoever logs in sees this list and may turn it down."""
