"""The one thread that owns the model.

Owns the queue of replies, which rows step together, and what becomes of a failure. Does not own the
numerics (`decoder`), a reply's text (`row`) or versions' names (`versions`).

Every step goes round once: work from outside (an adapter comes or goes), new rows, a block of
prompts, one token for every row. Rows join and leave between steps; a reply that nobody reads
any more is gone at the next step.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from understudy.brains.base import BrainError, BrainEvent
from understudy.brains.huggingface.adapters import Adapters
from understudy.brains.huggingface.decoder import Decoder
from understudy.brains.huggingface.loading import LocalModel, require
from understudy.brains.huggingface.reply import Post, Reply
from understudy.brains.huggingface.row import Row
from understudy.brains.huggingface.sampling import choose
from understudy.brains.huggingface.versions import Versions

ROWS = 8
"""Replies written at the same time; more would make each of them slow."""
WAITING = 64
"""Replies that may wait for a row."""
CLOSE_SECONDS = 10.0
"""Longest wait for the thread at the end: a load in progress cannot be broken off."""

_log = logging.getLogger(__name__)


class Runtime:
    """What the thread works with once the model is loaded."""

    def __init__(self, local: LocalModel, width: int | None) -> None:
        self.local = local
        self.decoder = Decoder(local, width)
        self.adapters = Adapters(local)


Work = tuple[Callable[[Runtime], None], Callable[[], bool], Future[None]]
"""What to do between two steps, when it may be done, and who waits for it."""


class Engine:
    """Writes replies with the model that `load` returns; loads it when it is first needed.

    At most `rows` replies are written at the same time and `waiting` more may wait. `width` rows
    step together (None: as many as proves exact and worth it).
    """

    def __init__(
        self,
        load: Callable[[], LocalModel],
        *,
        rows: int = ROWS,
        waiting: int = WAITING,
        width: int | None = None,
    ) -> None:
        self.versions = Versions()
        self.loaded: LocalModel | None = None
        self._load = load
        self._most_rows = rows
        self._most_waiting = waiting
        self._width = width
        self._runtime: Runtime | None = None
        self._change = threading.Condition()
        self._waiting: deque[Reply] = deque()
        self._work: list[Work] = []
        self._rows: list[Row] = []
        self._post = Post()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def rows(self) -> int:
        """How many replies are being written."""
        return len(self._rows)

    @property
    def width(self) -> int:
        """How many rows step together; 0 before the model is loaded."""
        return self._runtime.decoder.width if self._runtime else 0

    def submit(self, reply: Reply) -> None:
        """Queue a reply, whose version is leased; raises `BrainError` when too many wait."""
        with self._change:
            try:
                self._check_open()
                waiting = sum(not waiting.cancelled for waiting in self._waiting)
                if waiting >= self._most_waiting:
                    raise BrainError(
                        f"{waiting} replies wait for the local model: try again later",
                        kind="overloaded",
                    )
            except BrainError:
                self.versions.release(reply.version)
                raise
            self._waiting.append(reply)
            self._wake()

    def cancel(self, reply: Reply) -> None:
        """Let go of a reply: its row is free at the next step."""
        reply.cancelled = True
        with self._change:
            self._change.notify()

    def load_adapter(self, version: str, folder: Path) -> Future[None]:
        """Load an adapter between two steps and offer it as `version`."""

        def work(runtime: Runtime) -> None:
            self.versions.check_new(version)
            began = time.monotonic()
            runtime.adapters.load(version, folder)
            self.versions.add(version)
            _log.info("loaded version %s in %.2f s", version, time.monotonic() - began)

        return self._do(work, lambda: True)

    def unload_adapter(self, version: str) -> Future[None]:
        """Unload `version`, which has left the book, when its last reply has ended."""

        def work(runtime: Runtime) -> None:
            runtime.adapters.unload(version)
            self.versions.remove(version)
            _log.info("unloaded version %s", version)

        return self._do(work, lambda: self.versions.is_free(version))

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """End every reply and the thread; blocks until it has ended, at most `seconds`."""
        with self._change:
            self._closing = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                _log.warning("the local model is still loading: it ends with the process")

    def _do(self, work: Callable[[Runtime], None], ready: Callable[[], bool]) -> Future[None]:
        future: Future[None] = Future()
        with self._change:
            self._check_open()
            self._work.append((work, ready, future))
            self._wake()
        return future

    def _check_open(self) -> None:
        if self._closing:
            raise BrainError("the local model is shut down: start again", kind="unavailable")

    def _wake(self) -> None:
        if self._thread is None:
            # A daemon: a load that hangs must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, name="local-model", daemon=True)
            self._thread.start()
        self._change.notify()

    def _run(self) -> None:
        while self._wait():
            runtime = self._ready_runtime()
            if runtime is None:
                continue
            try:
                self._go_round(runtime)
            except Exception:
                _log.exception("the local model broke down")
                self._fail(self._rows, broken_down())
            self._post.send()
        self._end_all(BrainError("the local model is shut down: start again", kind="unavailable"))

    def _wait(self) -> bool:
        """Sleep until there is something to do; False at the end."""
        with self._change:
            self._change.wait_for(lambda: self._closing or self._rows or self._has_news())
            return not self._closing

    def _has_news(self) -> bool:
        return bool(self._waiting) or any(ready() for _, ready, _ in self._work)

    def _ready_runtime(self) -> Runtime | None:
        """The loaded model; None after every reply that waited has been told why there is none."""
        if self._runtime is not None:
            return self._runtime
        try:
            began = time.monotonic()
            _log.info("loading the local model")
            self._runtime = Runtime(self._load(), self._width)
            self.loaded = self._runtime.local
            _log.info("loaded the local model in %.1f s", time.monotonic() - began)
        except BrainError as error:
            self._end_all(error)
        except Exception:
            _log.exception("the local model cannot be loaded")
            self._end_all(broken_down())
        return self._runtime

    def _go_round(self, runtime: Runtime) -> None:
        self._do_work(runtime)
        self._drop_cancelled()
        self._admit(runtime)
        with require("torch").inference_mode():
            self._read_prompts(runtime)
            self._step(runtime)

    def _do_work(self, runtime: Runtime) -> None:
        with self._change:
            due = [work for work in self._work if work[1]()]
            self._work = [work for work in self._work if work not in due]
        for work, _, future in due:
            try:
                work(runtime)
            except Exception as error:
                future.set_exception(as_brain_error(error))
            else:
                future.set_result(None)

    def _drop_cancelled(self) -> None:
        for row in [row for row in self._rows if row.reply.cancelled]:
            self._retire(row)
        with self._change:
            gone = [reply for reply in self._waiting if reply.cancelled]
            self._waiting = deque(reply for reply in self._waiting if not reply.cancelled)
        for reply in gone:
            self.versions.release(reply.version)

    def _admit(self, runtime: Runtime) -> None:
        while len(self._rows) < self._most_rows:
            with self._change:
                if not self._waiting:
                    return
                reply = self._waiting.popleft()
            try:
                generator = _source_of_chance(runtime.local.device, reply.request.seed)
                cache = runtime.decoder.new_cache()
                self._rows.append(Row(reply, runtime.local, cache, generator))
            except Exception as error:
                self._post.add(reply, as_brain_error(error))
                self.versions.release(reply.version)

    def _read_prompts(self, runtime: Runtime) -> None:
        """About one block of prompts, so that nobody waits for the whole of a long one."""
        left = 1.0
        for row in [row for row in self._rows if row.reading]:
            if left <= 0:
                return
            try:
                runtime.adapters.activate(row.version)
                block = runtime.decoder.block(row.cache)
                tokens = row.take(block)
                left -= len(tokens) / block if block else 1.0
                scores = runtime.decoder.read(tokens, row.cache)
                if not row.reading:
                    self._push([row], scores[None])
            except Exception as error:
                self._fail([row], as_brain_error(error))

    def _step(self, runtime: Runtime) -> None:
        """One more token for every row whose prompt is read."""
        for group in groups([row for row in self._rows if not row.reading], runtime.decoder.width):
            try:
                runtime.adapters.activate(group[0].version)
                tokens = [row.last_token for row in group]
                scores = runtime.decoder.step(tokens, [row.cache for row in group])
                self._push(group, scores)
            except Exception as error:
                # Their caches may have grown in some layers only: none of them can go on.
                self._fail(group, as_brain_error(error))

    def _push(self, rows: list[Row], scores: Any) -> None:
        samplings, generators = [r.sampling for r in rows], [r.generator for r in rows]
        tokens = choose(require("torch"), scores, samplings, generators)
        for row, token in zip(rows, tokens, strict=True):
            try:
                events: list[BrainEvent] = row.push(token)
            except BrainError as error:
                self._fail([row], error)
                continue
            self._post.add(row.reply, *events)
            if row.done:
                self._retire(row)

    def _fail(self, rows: list[Row], error: BrainError) -> None:
        for row in [row for row in rows if row in self._rows]:
            self._post.add(row.reply, error)
            self._retire(row)

    def _retire(self, row: Row) -> None:
        self._rows.remove(row)
        self.versions.release(row.version)

    def _end_all(self, error: BrainError) -> None:
        """Tell everyone who waits for anything that it will not come."""
        self._fail(list(self._rows), error)
        with self._change:
            waiting, self._waiting = self._waiting, deque()
            work, self._work = self._work, []
        for reply in waiting:
            self._post.add(reply, error)
            self.versions.release(reply.version)
        for _, _, future in work:
            future.set_exception(error)
        self._post.send()


def groups(rows: list[Row], width: int) -> list[list[Row]]:
    """Rows that may step together: of one version, at most `width` of them."""
    by_version: dict[str, list[Row]] = {}
    for row in rows:
        by_version.setdefault(row.version, []).append(row)
    return [
        same[first : first + width]
        for same in by_version.values()
        for first in range(0, len(same), width)
    ]


def as_brain_error(error: Exception) -> BrainError:
    """What a reply is told about a failure in the thread; the log gets the details."""
    if isinstance(error, BrainError):
        return error
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        _log.warning("the local model ran out of memory: %s", error)
        require("torch").cuda.empty_cache()
        return BrainError("the local model ran out of memory: try again later", kind="overloaded")
    _log.error("the local model failed", exc_info=error)
    return broken_down()


def broken_down() -> BrainError:
    """The sentence for a failure that nobody foresaw."""
    return BrainError("the local model broke down: details are in the log", kind="failed")


def _source_of_chance(device: str, seed: int | None) -> Any:
    generator = require("torch").Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
