from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from understudy.brains.breaker import Breaker

LIMIT = 3
COOL_DOWN = 10.0
LONGEST = 35.0


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def make(time: Time) -> Breaker:
    return Breaker(failures=LIMIT, cool_down=COOL_DOWN, longest=LONGEST, clock=time)


def fail(breaker: Breaker) -> None:
    ticket = breaker.admit()
    assert ticket is not None
    breaker.failed(ticket, "down")


def opened(time: Time) -> Breaker:
    breaker = make(time)
    for _ in range(LIMIT):
        fail(breaker)
    assert breaker.state == "open"
    return breaker


def test_it_opens_after_failures_in_a_row():
    breaker = make(Time())
    for _ in range(LIMIT - 1):
        fail(breaker)
    breaker.succeeded(breaker.admit())
    assert breaker.reason == ""
    for _ in range(LIMIT):
        assert breaker.state == "closed"
        fail(breaker)
    assert breaker.state == "open"
    assert breaker.admit() is None
    assert breaker.rest == COOL_DOWN
    assert breaker.reason == "down"


def test_the_cool_down_doubles_up_to_the_longest():
    time = Time()
    breaker = opened(time)
    for expected in (20.0, LONGEST, LONGEST):
        time.seconds += breaker.rest
        assert breaker.state == "half-open"
        fail(breaker)
        assert breaker.rest == expected
    time.seconds += LONGEST
    breaker.succeeded(breaker.admit())
    assert breaker.state == "closed"
    for _ in range(LIMIT):
        fail(breaker)
    assert breaker.rest == COOL_DOWN


def test_one_request_probes():
    time = Time()
    breaker = opened(time)
    time.seconds = COOL_DOWN
    probe = breaker.admit()
    assert probe is not None
    assert breaker.admit() is None
    breaker.released(probe)
    assert breaker.admit() is not None


def test_a_probe_that_is_heard_closes_it_on_probation():
    time = Time()
    breaker = opened(time)
    time.seconds = COOL_DOWN
    ticket = breaker.heard(breaker.admit())
    assert breaker.state == "closed"
    breaker.failed(ticket, "broke off")
    assert breaker.state == "open"
    assert breaker.rest == 2 * COOL_DOWN


def test_late_news_from_before_it_opened_does_not_count():
    time = Time()
    breaker = make(time)
    late = [breaker.admit(), breaker.admit()]
    for _ in range(LIMIT):
        fail(breaker)
    breaker.failed(late[0])
    breaker.succeeded(late[1])
    assert breaker.state == "open"
    assert breaker.rest == COOL_DOWN


class Requests(RuleBasedStateMachine):
    """Any number of requests at the same time, which end in any order and in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.breaker = make(self.time)
        self.under_way: list[int] = []
        self.probes = 0

    @rule()
    def begin(self) -> None:
        state, probing = self.breaker.state, self.probes > 0
        ticket = self.breaker.admit()
        assert (ticket is not None) == (state == "closed" or (state == "half-open" and not probing))
        if ticket is not None:
            self.under_way.append(ticket)
            self.probes += state == "half-open"

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), how=st.sampled_from(["heard", "succeeded", "failed", "released"]))
    def go_on(self, data: st.DataObject, how: str) -> None:
        index = data.draw(st.integers(0, len(self.under_way) - 1))
        ticket = self.under_way[index]
        probe = self.breaker.state == "half-open" and ticket == max(self.under_way)
        opened_before = self.breaker.state != "closed"
        result = getattr(self.breaker, how)(ticket)
        if how == "heard":
            self.under_way[index] = result
        else:
            del self.under_way[index]
        if probe and self.probes:
            self.probes = 0
            expected = {"failed": "open", "released": "half-open"}.get(how, "closed")
            assert self.breaker.state == expected
        elif opened_before:
            assert self.breaker.state != "closed"

    @rule(seconds=st.floats(0.0, 2 * LONGEST))
    def wait(self, seconds: float) -> None:
        before = self.breaker.state
        self.time.seconds += seconds
        assert self.breaker.state == before or (before, self.breaker.state) == ("open", "half-open")

    @invariant()
    def rests_only_while_open(self) -> None:
        assert (self.breaker.rest > 0) == (self.breaker.state == "open")
        assert self.breaker.rest <= LONGEST

    @invariant()
    def never_stays_shut(self) -> None:
        """Whatever has happened, waiting long enough and an answer close the circuit."""
        if self.breaker.state == "half-open" and not self.probes:
            ticket = self.breaker.admit()
            assert ticket is not None
            self.breaker.released(ticket)


Requests.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRequests = Requests.TestCase
