"""Counters and histograms in Prometheus' text format, one registry per server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from understudy.bus import Bus
from understudy.engine.oneoff import OneOffs
from understudy.engine.tools.base import ToolRecord
from understudy.engine.turn import Outcome
from understudy.engine.turns import Turns
from understudy.events import Reply
from understudy.storage.log_writer import LogWriter

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "understudy_http_requests_total",
            "HTTP requests by method and status.",
            ["method", "status"],
            registry=self.registry,
        )
        self._replies = Counter(
            "understudy_replies_total",
            "Replies by how they ended.",
            ["status", "model"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "understudy_tokens_total",
            "Tokens by model; cached ones are among the input.",
            ["provider", "model", "kind"],
            registry=self.registry,
        )
        self._cost = Counter(
            "understudy_cost_dollars_total",
            "US dollars spent, as far as prices are known.",
            ["provider", "model"],
            registry=self.registry,
        )
        self._first_token = Histogram(
            "understudy_first_token_seconds",
            "Time from the start of a turn to its first shown token.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._reply_seconds = Histogram(
            "understudy_reply_seconds",
            "Time from the start of a turn to its end.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._calls = Counter(
            "understudy_tool_calls_total",
            "Calls of tools by what came of them.",
            ["outcome"],
            registry=self.registry,
        )
        self.sockets = Gauge(
            "understudy_sockets", "Open WebSockets by path.", ["path"], registry=self.registry
        )

    def observe(self, reply: Reply, outcome: Outcome) -> None:
        """Count a reply that has ended, with its tokens and what it cost."""
        usage = outcome.usage
        for kind, tokens in (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached", usage.cached_tokens),
        ):
            self._tokens.labels(outcome.provider, reply.model, kind).inc(tokens)
        if outcome.cost_micros:
            self._cost.labels(outcome.provider, reply.model).inc(outcome.cost_micros / 1_000_000)
        self._replies.labels(reply.status, reply.model).inc()
        self._reply_seconds.observe(reply.total_ms / 1000)
        if reply.first_token_ms is not None:
            self._first_token.observe(reply.first_token_ms / 1000)

    def observe_call(self, record: ToolRecord) -> None:
        """Count a call of a tool."""
        self._calls.labels(record.outcome).inc()

    def watch(self, turns: Turns, oneoffs: OneOffs, log: LogWriter, bus: Bus) -> None:
        """Read these at every scrape."""
        self._gauge("understudy_replies_active", "Replies under way.").set_function(
            lambda: turns.active + oneoffs.active
        )
        for name, description, read in (
            ("queued", "Rows waiting for the disk.", lambda: log.stats.queued),
            ("committed", "Rows made durable since the start.", lambda: log.stats.committed),
            ("parked", "Rows parked because they cannot be stored.", lambda: log.stats.parked),
        ):
            self._gauge(f"understudy_log_rows_{name}", description).set_function(read)
        self._gauge("understudy_bus_dropped", "Events dropped for slow readers.").set_function(
            lambda: sum(subscription.dropped for subscription in bus.subscriptions)
        )

    def text(self) -> bytes:
        """The page a scraper reads."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, description: str) -> Gauge:
        return Gauge(name, description, registry=self.registry)
