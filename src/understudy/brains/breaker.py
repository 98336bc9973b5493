"""A circuit breaker: leaves a provider alone for a while after it has failed again and again.

Owns when a provider may be asked. Does not own what counts as a failure (`attempt`).

    closed ──`failures` in a row──> open ──cool-down over──> half-open ──first token──> closed
                                     ^                            │
                                     └────── the probe fails ─────┘  (twice the cool-down)

Nygard, *Release It!* (2nd ed.), "Circuit Breaker".
"""

import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half-open"]

FAILURES = 5
COOL_DOWN_SECONDS = 5.0
LONGEST_COOL_DOWN_SECONDS = 300.0


class Breaker:
    """Counts the failures of one provider.

    Every request begins with `admit`, whose ticket is handed back with how the request went. A
    ticket from before the circuit opened or closed says nothing about the provider now and is
    not counted. `clock` gives seconds and never goes back.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        cool_down: float = COOL_DOWN_SECONDS,
        longest: float = LONGEST_COOL_DOWN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason = ""
        """What the last failure was."""
        self._limit = failures
        self._cool_down = cool_down
        self._longest = longest
        self._clock = clock
        self._failures = 0
        self._openings = 0
        self._opened: float | None = None
        self._probe: int | None = None
        self._ticket: int = 0

    @property
    def state(self) -> State:
        """Whether all requests pass, none, or one to see how the provider is."""
        if self._opened is None:
            return "closed"
        return "open" if self.rest else "half-open"

    @property
    def rest(self) -> float:
        """Seconds for which the provider is left alone from now on."""
        if self._opened is None:
            return 0.0
        doublings = min(self._openings - 1, 32)
        cool_down = min(self._cool_down * 2**doublings, self._longest)
        return max(0.0, self._opened + cool_down - self._clock())

    def admit(self) -> int | None:
        """The ticket for one request, or None when the provider is to be left alone."""
        match self.state:
            case "closed":
                return self._ticket
            case "half-open" if self._probe is None:
                self._ticket += 1
                self._probe = self._ticket
                return self._ticket
            case _:
                return None

    def heard(self, ticket: int) -> int:
        """The provider has begun to answer, which is all a probe wants to know.

        Returns the ticket to go on with. The circuit closes on probation: until a whole reply
        has succeeded, one failure opens it again.
        """
        if ticket != self._probe:
            return ticket
        self._opened = self._probe = None
        self._failures = self._limit - 1
        self._ticket += 1
        return self._ticket

    def succeeded(self, ticket: int) -> None:
        """The provider gave a whole reply."""
        ticket = self.heard(ticket)
        if ticket == self._ticket and self._opened is None:
            self._failures = self._openings = 0
            self.reason = ""

    def failed(self, ticket: int, reason: str = "") -> None:
        """The provider failed in a way that asking again may help."""
        if ticket != self._ticket or (self._opened is not None and ticket != self._probe):
            return
        self.reason = reason
        self._failures += 1
        if ticket == self._probe or self._failures >= self._limit:
            self._opened = self._clock()
            self._openings += 1
            self._failures = 0
            self._probe = None
            self._ticket += 1

    def released(self, ticket: int) -> None:
        """The request ended without saying anything about the provider's health."""
        if ticket == self._probe:
            self._probe = None
