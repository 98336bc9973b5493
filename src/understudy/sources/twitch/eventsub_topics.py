"""What Understudy subscribes to at EventSub, and what each subscription needs.

Owns the list of types with their versions, scopes and conditions. Does not own the subscribing
(`eventsub_session`) nor what a notification becomes (`eventsub_events`).

https://dev.twitch.tv/docs/eventsub/eventsub-subscription-types
"""

from typing import Final, Literal

import msgspec

from understudy.sources.twitch import scopes
from understudy.sources.twitch.auth import Login

By = Literal["reader", "owner", "moderator", "anyone", "target"]
"""Who may subscribe, which is also what the condition names: a reader of the chat, the channel's
owner, one of its moderators, or anyone; `target` is anyone, with the channel as a raid's target."""


class Topic(msgspec.Struct, frozen=True):
    """A type to subscribe to; `scope` is empty when none is needed.

    `in_irc` marks what the IRC reader tells too, without an id in common to tell them apart by.
    """

    type: str
    by: By
    scope: str = ""
    version: str = "1"
    in_irc: bool = False

    def condition(self, broadcaster_id: str, reader_id: str) -> dict[str, str]:
        """The condition for one channel, read by the account `reader_id`."""
        if self.by == "target":
            return {"to_broadcaster_user_id": broadcaster_id}
        about = {"broadcaster_user_id": broadcaster_id}
        if self.by == "reader":
            return {**about, "user_id": reader_id}
        if self.by == "moderator":
            return {**about, "moderator_user_id": reader_id}
        return about


CHEER: Final = Topic("channel.cheer", "owner", scopes.BITS, in_irc=True)
TOPICS: Final = (
    Topic("channel.chat.message", "reader", scopes.READ_CHAT),
    Topic("channel.chat.message_delete", "reader", scopes.READ_CHAT),
    Topic("channel.chat.clear_user_messages", "reader", scopes.READ_CHAT),
    Topic("channel.chat.clear", "reader", scopes.READ_CHAT),
    Topic("channel.follow", "moderator", scopes.FOLLOWERS, version="2"),
    Topic("channel.subscribe", "owner", scopes.SUBSCRIPTIONS, in_irc=True),
    Topic("channel.subscription.message", "owner", scopes.SUBSCRIPTIONS, in_irc=True),
    Topic("channel.subscription.gift", "owner", scopes.SUBSCRIPTIONS, in_irc=True),
    CHEER,
    Topic("channel.raid", "target", in_irc=True),
    Topic("channel.poll.begin", "owner", scopes.POLLS),
    Topic("channel.poll.end", "owner", scopes.POLLS),
    Topic("channel.prediction.begin", "owner", scopes.PREDICTIONS),
    Topic("channel.prediction.lock", "owner", scopes.PREDICTIONS),
    Topic("channel.prediction.end", "owner", scopes.PREDICTIONS),
    Topic("channel.channel_points_custom_reward_redemption.add", "owner", scopes.REDEMPTIONS),
    Topic("channel.hype_train.begin", "owner", scopes.HYPE_TRAIN, version="2"),
    Topic("channel.hype_train.end", "owner", scopes.HYPE_TRAIN, version="2"),
    Topic("channel.ad_break.begin", "owner", scopes.ADS),
    Topic("stream.online", "anyone"),
    Topic("stream.offline", "anyone"),
)
"""In the order in which they are subscribed to, what matters most first.

The `progress` types of polls, predictions and hype trains are left out: they come every few
seconds and say nothing to talk about.
"""


def topics_for(login: Login, broadcaster_id: str, *, beside_irc: bool) -> list[Topic]:
    """What `login` may know about a channel, without what it would be told twice."""
    reads_chat = scopes.READ_CHAT in login.scopes
    return [
        topic
        for topic in TOPICS
        if (not topic.scope or topic.scope in login.scopes)
        and (topic.by != "owner" or broadcaster_id == login.user_id)
        and not (beside_irc and topic.in_irc)
        # A cheer is a message of the chat, and comes as one.
        and not (topic is CHEER and reads_chat)
    ]
