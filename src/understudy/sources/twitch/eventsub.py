"""Twitch's EventSub as a source: what the account that is logged in may know about its channels.

Owns when there is a session, what it subscribes to and what is told when that fails. Does not own
the session (`eventsub_session`), the topics (`eventsub_topics`) or the events (`eventsub_events`).
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from understudy.sources.base import Publish
from understudy.sources.twitch.auth import Login, TwitchAuth
from understudy.sources.twitch.backoff import jittered_wait
from understudy.sources.twitch.errors import (
    MissingScope,
    NotLoggedIn,
    RateLimited,
    Refused,
    TwitchError,
)
from understudy.sources.twitch.eventsub_connection import SessionLost
from understudy.sources.twitch.eventsub_events import event_of
from understudy.sources.twitch.eventsub_frames import (
    BadFrame,
    Notification,
    Revocation,
    Subscription,
)
from understudy.sources.twitch.eventsub_session import EventSubSession
from understudy.sources.twitch.eventsub_topics import Topic, topics_for
from understudy.sources.twitch.helix import Helix
from understudy.sources.twitch.http import Sleep
from understudy.sources.twitch.user_ids import UserIds

logger = logging.getLogger(__name__)

KNOWN_IDS = 4_096
"""Ids of the newest notifications: Twitch may send one again."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
STABLE_SECONDS = 60.0
"""After a session this long the waits begin anew."""

_WHY_REVOKED = {
    "authorization_revoked": "the login was revoked",
    "user_removed": "the account is gone",
    "moderator_removed": "the account is no moderator any more",
    "chat_user_banned": "the account is banned there",
    "version_removed": "Twitch has withdrawn this version: update Understudy",
}


class NothingToRead(Exception):
    """No subscription came about: a session would be closed for being unused."""


class TwitchEventSub:
    """Reads `channels` (logins) with the account of `auth`, waiting for a login when there is none.

    `beside_irc` says that the same channels are read by IRC too: what IRC tells under ids of its
    own, subs, gifts and raids, is then left to it. Counters: `subscriptions` that stand,
    `bad_frames` and `duplicates` that were skipped.
    """

    name = "twitch-eventsub"

    def __init__(
        self,
        eventsub_url: str,
        helix: Helix,
        auth: TwitchAuth,
        channels: Sequence[str],
        *,
        beside_irc: bool = False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._url = eventsub_url
        self._helix = helix
        self._auth = auth
        self._channels = [channel.lower() for channel in channels]
        self._beside_irc = beside_irc
        self._sleep = sleep
        self._user_ids = UserIds(helix)
        self._ids: dict[str, str] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._trouble = ""
        self._refused: dict[tuple[str, str], str] = {}
        self._revoked: dict[tuple[str, str], str] = {}
        self.subscriptions = 0
        self.bad_frames = 0
        self.duplicates = 0

    def describe(self) -> str:
        """One line for people: who reads what, and how it stands."""
        login = self._auth.login
        if login is None:
            return "Twitch EventSub: waits for a login to Twitch"
        stands = f"{self.subscriptions} subscriptions" if self.subscriptions else "not connected"
        return f"Twitch EventSub as {login.login}: {', '.join(self._channels)} ({stands})"

    def problems(self) -> list[str]:
        """What the operator should look at, one sentence each; `auth` tells of a missing login."""
        if self._auth.login is None:
            return []
        trouble = [self._trouble] if self._trouble else []
        return [*trouble, *self._missing(), *self._refused.values(), *self._revoked.values()]

    async def run(self, publish: Publish) -> None:
        """Publish events until cancelled; a login that ends is waited for anew."""
        while True:
            login = await self._auth.changed(None)
            if login is not None:
                await self._serve(login, publish)

    async def _serve(self, login: Login, publish: Publish) -> None:
        """Stay connected for as long as `login` holds."""
        connected = asyncio.create_task(self._stay_connected(login, publish), name=self.name)
        changed = asyncio.create_task(self._auth.changed(login), name=f"{self.name} login")
        try:
            await asyncio.wait({connected, changed}, return_when=asyncio.FIRST_COMPLETED)
            if connected.done():
                connected.result()
                await changed
        finally:
            for task in (connected, changed):
                task.cancel()
            await asyncio.gather(connected, changed, return_exceptions=True)
            # Another login has troubles of its own.
            self._trouble = ""
            self._refused.clear()
            self._revoked.clear()

    async def _stay_connected(self, login: Login, publish: Publish) -> None:
        """One session after the other; returns when another would be of no use to this login."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            began = loop.time()
            try:
                await self._run_session(login, publish)
            except NotLoggedIn:
                # Told where the login is kept.
                return
            except NothingToRead as error:
                self._note(str(error))
                return
            except (SessionLost, TwitchError) as error:
                self._note(f"EventSub is not connected: {error}")
            finally:
                self.subscriptions = 0
            if loop.time() - began > STABLE_SECONDS:
                attempt = 0
            await self._sleep(jittered_wait(attempt, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS))
            attempt += 1

    async def _run_session(self, login: Login, publish: Publish) -> None:
        self._ids = await self._user_ids.of(self._channels)
        if not self._ids:
            raise NothingToRead("there is no channel to read: check twitch.channels")

        async def subscribe(session: Callable[[], str]) -> None:
            await self._subscribe(login, session)

        async def handle(frame: Notification | Revocation) -> None:
            if isinstance(frame, Notification):
                await self._notify(frame, login, publish)
            else:
                await self._revoke(frame.subscription)

        await EventSubSession(self._url, subscribe, handle, self._count_bad).run()

    async def _subscribe(self, login: Login, session: Callable[[], str]) -> None:
        """Ask for every topic of every channel, until Twitch grants no more."""
        self._refused.clear()
        self._trouble = ""
        wanted = [
            (channel, number, topic)
            for channel, number in self._ids.items()
            for topic in topics_for(login, number, beside_irc=self._beside_irc)
            if (topic.type, number) not in self._revoked
        ]
        for channel, number, topic in wanted:
            try:
                await self._ask_for(topic, topic.condition(number, login.user_id), session)
            except RateLimited as error:
                self._refuse(topic, channel, error)
                break
            except (MissingScope, Refused) as error:
                self._refuse(topic, channel, error)
            else:
                self.subscriptions += 1
        if not self.subscriptions:
            raise NothingToRead(
                "Twitch lets this login read nothing: log in with the right account"
            )
        logger.info("EventSub is connected: %d subscriptions", self.subscriptions)

    async def _ask_for(
        self, topic: Topic, condition: dict[str, str], session: Callable[[], str]
    ) -> None:
        """Subscribe, again when the session moved meanwhile; one that stands already is fine."""
        while True:
            named = session()
            try:
                await self._helix.subscribe(topic.type, topic.version, condition, named)
                return
            except Refused as error:
                if error.status == 409:
                    return
                if session() == named:
                    raise

    def _refuse(self, topic: Topic, channel: str, error: TwitchError) -> None:
        self._refused[topic.type, channel] = f"{topic.type} of {channel} is not read: {error}"
        logger.warning("%s", self._refused[topic.type, channel])

    async def _notify(self, notification: Notification, login: Login, publish: Publish) -> None:
        if notification.id in self._seen:
            self.duplicates += 1
            return
        self._seen[notification.id] = None
        if len(self._seen) > KNOWN_IDS:
            self._seen.popitem(last=False)
        try:
            channel = self._channel(notification.subscription) or login.login
            event = event_of(notification, channel)
        except BadFrame as error:
            self._count_bad(str(error))
            return
        await publish(event)

    async def _revoke(self, ended: Subscription) -> None:
        """Tell that a subscription is over; it is not asked for again with this login."""
        channel = self._channel(ended) or ended.broadcaster_id
        why = _WHY_REVOKED.get(ended.status, ended.status)
        sentence = f"{ended.type} of {channel} is no longer read: {why}"
        self._revoked[ended.type, ended.broadcaster_id] = sentence
        self.subscriptions = max(0, self.subscriptions - 1)
        logger.warning("%s", sentence)
        if ended.status == "authorization_revoked":
            # Ends the session at once when the whole login is over.
            await self._auth.validate()

    def _channel(self, subscription: Subscription) -> str:
        number = subscription.broadcaster_id
        return next((login for login, known in self._ids.items() if known == number), "")

    def _missing(self) -> list[str]:
        """A sentence for each channel that Twitch does not know."""
        unknown = [channel for channel in self._channels if channel not in self._ids]
        if not self._ids:
            return []
        return [f"Twitch knows no channel named {name}: check twitch.channels" for name in unknown]

    def _note(self, trouble: str) -> None:
        self._trouble = trouble
        logger.warning("%s", trouble)

    def _count_bad(self, reason: str) -> None:
        self.bad_frames += 1
        if self.bad_frames == 1:
            logger.warning("EventSub sent something that was skipped: %s", reason)
