"""Events that other programs hand in: bots, bridges, other platforms.

Owns what becomes of each item: its fate, items that come twice, and how many a sender may hand in.
Does not own the form of an item (`intake_items`) nor how items arrive (`server.routes.intake`).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec

from understudy.engine.live_channels import ChannelRefused
from understudy.events import new_id, now_ms
from understudy.safety.limits import RateLimiter
from understudy.sources.base import Publish
from understudy.sources.intake_items import Item, ItemError, Sender, read_item

KNOWN_ITEMS: Final = 16_384
"""Items that are remembered: a sender that is not sure posts them again."""

REPOST_SECONDS: Final = 10.0
"""Within it, an equal item without id and time is the same one; later it was said once more."""


class Fate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item: `id` names its event, `reason` says in one sentence why not.

    `repeated` was taken in before and is counted once.
    """

    status: Literal["accepted", "repeated", "refused"]
    id: str = ""
    reason: str = ""


class Fates(msgspec.Struct, frozen=True):
    """The fates of the items that came together, in their order; `wait` in seconds.

    `wait` is above 0 when the sender handed in too many: that long until the next is taken.
    """

    items: list[Fate]
    wait: float = 0.0

    def count(self, status: Literal["accepted", "repeated", "refused"]) -> int:
        """How many items met this fate."""
        return sum(fate.status == status for fate in self.items)


class Intake:
    """Takes items in, one after the other, and hands their events to `publish`.

    `channel` is where items go that name none, `per_minute` how many one sender may hand in.
    `publish` may raise `ChannelRefused`.
    """

    def __init__(
        self,
        publish: Publish,
        *,
        channel: str = "",
        per_minute: float = 6_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publish = publish
        self._channel = channel
        self._clock = clock
        self._limiter = RateLimiter(per_minute, clock=clock)
        self._known: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    async def take(self, items: Iterable[object], sender: Sender) -> Fates:
        """Publish what can be understood; a bad item does not spoil the rest."""
        fates: list[Fate] = []
        wait = 0.0
        for item in items:
            # What comes after a refused one would overtake it.
            wait = wait or self._limiter.take(sender.name)
            if wait > 0:
                reason = f"too many events: wait {int(wait) + 1} s and send it again"
                fates.append(Fate("refused", reason=reason))
                continue
            try:
                fates.append(await self._take(item, sender))
            except (ItemError, ChannelRefused) as error:
                fates.append(Fate("refused", reason=str(error)))
        return Fates(fates, wait)

    async def _take(self, raw: object, sender: Sender) -> Fate:
        item = read_item(raw, now=now_ms(), channel=self._channel, highest=sender.highest)
        key = _key(item)
        seen = self._known.get(key)
        if seen is not None and (item.named or self._clock() - seen[1] < REPOST_SECONDS):
            return Fate("repeated", seen[0])
        event = item.event
        if not item.named:
            # The next equal one, when its time has come, is another.
            event = msgspec.structs.replace(event, id=new_id(f"{item.digest}_"))
        self._remember(key, event.id)
        try:
            await self._publish(event)
        except BaseException:
            self._known.pop(key, None)
            raise
        return Fate("accepted", event.id)

    def _remember(self, key: tuple[str, str], event_id: str) -> None:
        self._known[key] = event_id, self._clock()
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_ITEMS:
            self._known.popitem(last=False)


def _key(item: Item) -> tuple[str, str]:
    return item.event.channel, item.event.id if item.named else item.digest
