"""What a started program writes to its standard error.

Owns reading it as it comes, so that the program never waits, and its last line, which says best
why a program ended. Does not own the program (`mcp_connection`).
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import TextIO

from understudy.safety.pii import Redactor
from understudy.safety.text import clean

READ_CHARS = 4_000
LINE_CHARS = 300
"""Characters of a line that are kept."""
_JOIN_SECONDS = 1.0

logger = logging.getLogger(__name__)


class ErrorOutput:
    """A pipe for a program's standard error, read by a thread: it works on every platform.

    Lines go to the log without what `hide` takes out and without personal data: programs write
    keys when they are not accepted. Nothing is opened before `file` is asked for.
    """

    def __init__(self, name: str, hide: Callable[[str], str] = str) -> None:
        self.last = ""
        """The last line that said something."""
        self._name = name
        self._hide = hide
        self._redactor = Redactor()
        self._file: TextIO | None = None
        self._thread: threading.Thread | None = None

    @property
    def file(self) -> TextIO:
        """What the program writes to."""
        if self._file is None:
            reader, writer = os.pipe()
            self._file = os.fdopen(writer, "w", encoding="utf-8")
            self._thread = threading.Thread(
                target=self._read, args=(reader,), name=f"errors of {self._name}", daemon=True
            )
            self._thread.start()
        return self._file

    async def close(self) -> None:
        """Read what is left of a program that has ended; not for long if a child of it goes on."""
        if self._file is not None and self._thread is not None:
            self._file.close()
            await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)

    def _read(self, reader: int) -> None:
        with os.fdopen(reader, encoding="utf-8", errors="replace") as lines:
            while line := lines.readline(READ_CHARS):
                text = self._redactor.redact(self._hide(clean(line))).text.strip()[:LINE_CHARS]
                if text:
                    self.last = text
                    logger.debug("%s: %s", self._name, text)
