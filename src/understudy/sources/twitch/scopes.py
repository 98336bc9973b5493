"""What a Twitch login may allow, by the names Twitch gives it.

Owns the names and which of them a login asks for. Does not own what is done when one is missing.
"""

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

LOGIN_SCOPES: Final = (
    READ_CHAT,
    WRITE_CHAT,
    MODERATED_CHANNELS,
    DELETE_MESSAGES,
    BAN,
    FOLLOWERS,
    SUBSCRIPTIONS,
    BITS,
    POLLS,
    PREDICTIONS,
    REDEMPTIONS,
    HYPE_TRAIN,
    ADS,
)
"""All that Understudy has a use for; whoever logs in sees this list and may turn it down."""
