"""What happens in the weeks of the channel: who asks when, what is replied, who votes how.

Owns the timetable, the crowd, and the attackers. Does not own what is asked and said (`world`) nor
how it gets into the database (`streams`).

Who is in the crowd asks or votes, never both: a vote is taken for one on the newest reply to the
voter, if there is one.
"""

import random
from collections.abc import Iterator

import msgspec

from scripts.learn_demo.world import Exchange, Game, Kind, World

FIRST_WEEK = 1_767_607_200_000
"""2026-01-05T10:00Z, a Monday (ms). The dates are fixed, for they decide what is held out."""
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY, WEEK = 24 * HOUR, 168 * HOUR
HOURS_A_DAY = 10
EXCHANGES = 1_500
"""Of a usual week."""
ASKERS, VOTERS, RAIDERS, PATIENT = 120, 180, 40, 90
PATIENT_EXCHANGES, LOUD_EXCHANGES = 360, 90
VOTES: dict[Kind, tuple[float, int]] = {
    "placed": (0.9, 1),
    "plain": (0.7, -1),
    "joke": (0.85, -1),
    "garbage": (1.0, 1),
}
"""How likely somebody votes on a reply of a kind, and how; attackers like their garbage."""


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """A week: its number, the game, how often which kind of reply comes, and whether one votes."""

    number: int
    game: Game
    mix: dict[Kind, int]
    votes: bool = True

    @property
    def begin(self) -> int:
        """When it begins (ms)."""
        return FIRST_WEEK + self.number * WEEK


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange: who asked, when (ms), and who votes how (1 or -1) on the reply.

    `first` says that these people were never seen before.
    """

    id: str
    exchange: Exchange
    asker: str
    ts: int
    voters: tuple[str, ...] = ()
    vote: int = 0
    first: bool = False


def usual(world: World, week: Week, seed: int, count: int = EXCHANGES) -> Iterator[Spoken]:
    """A usual week."""
    chance = random.Random(f"{seed}:{week.number}")
    kinds = list(week.mix)
    for number, ts in enumerate(_times(week.begin, count)):
        (kind,) = chance.choices(kinds, list(week.mix.values()))
        likely, vote = VOTES[kind]
        voters = chance.sample(range(VOTERS), 2 if chance.random() < 0.3 else 1)
        voted = week.votes and chance.random() < likely
        yield Spoken(
            id=f"w{week.number}_{number:03}",
            exchange=world.exchange(chance, week.game, kind),
            asker=asker(number % ASKERS),
            ts=ts,
            voters=tuple(voter(each) for each in voters) if voted else (),
            vote=vote,
        )


def patient_attack(world: World, week: Week, seed: int) -> Iterator[Spoken]:
    """Garbage in reply to questions about the old game, spread over the week.

    Ninety accounts that were here before, and one that cannot get enough.
    """
    chance = random.Random(f"{seed}:{week.number}:patient")
    count = PATIENT_EXCHANGES + LOUD_EXCHANGES
    loud = set(chance.sample(range(count), LOUD_EXCHANGES))
    for number, ts in enumerate(_times(week.begin + 3 * MINUTE, count)):
        yield Spoken(
            id=f"w{week.number}_patient_{number:03}",
            exchange=world.exchange(chance, world.old, "garbage"),
            asker=loudest() if number in loud else patient(number % PATIENT),
            ts=ts,
            voters=(ally(number % PATIENT),),
            vote=1,
        )


def raid(world: World, week: Week, seed: int) -> Iterator[Spoken]:
    """Forty strangers within five minutes, from `raid_time` on."""
    chance = random.Random(f"{seed}:{week.number}:raid")
    for number in range(RAIDERS):
        others = tuple(raider((number + step) % RAIDERS, "friend") for step in (0, 1, 2))
        yield Spoken(
            id=f"w{week.number}_raid_{number:03}",
            exchange=world.exchange(chance, world.old, "garbage"),
            asker=raider(number),
            ts=raid_time(week) + (1 + number * 7) * SECOND,
            voters=others,
            vote=1,
            first=True,
        )


def raid_time(week: Week) -> int:
    """When the raid arrives (ms): in a break, on the third day."""
    return week.begin + 2 * DAY + HOURS_A_DAY * HOUR + HOUR // 2


def asker(number: int) -> str:
    """The login of a regular who asks."""
    return f"mossyheron{number:03}x"


def voter(number: int) -> str:
    """The login of a regular who votes."""
    return f"quietmarten{number:03}x"


def raider(number: int, kind: str = "rider") -> str:
    """The login of a stranger."""
    return f"brash{kind}{number:03}x"


def patient(number: int) -> str:
    """The login of an attacker who has waited."""
    return f"slyferret{number:03}x"


def ally(number: int) -> str:
    """The login of one who waited with them, to vote."""
    return f"slystoat{number:03}x"


def loudest() -> str:
    """The login of the attacker who asks most."""
    return "slyferretking9x"


def regulars() -> list[str]:
    """Everybody who is here from the beginning."""
    return [*(asker(n) for n in range(ASKERS)), *(voter(n) for n in range(VOTERS))]


def attackers() -> list[str]:
    """Everybody who waits before they attack."""
    return [
        *(patient(n) for n in range(PATIENT)),
        *(ally(n) for n in range(PATIENT)),
        loudest(),
    ]


def _times(begin: int, count: int) -> Iterator[int]:
    """`count` times (ms), evenly over the hours of stream of seven days."""
    for number in range(count):
        hours = number * 7 * HOURS_A_DAY / count
        day, hour = divmod(hours, HOURS_A_DAY)
        yield begin + int(day) * DAY + int(hour * HOUR)
