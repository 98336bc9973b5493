"""Fills a log with exchanges, as a stream would have."""

import random
from pathlib import Path

from understudy.safety.untrusted import quote_viewer
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ExperienceRow, FeedbackRow, LogRow

HOUR = 3_600_000
START = 500_000 * HOUR
"""The beginning of a log (ms), at a full hour."""


def exchange(number: int, text: str, response: str, **changes: object) -> ExperienceRow:
    """An exchange of the channel alice; each is in an hour, and so a conversation, of its own."""
    user = str(changes.get("user", f"viewer{number % 40}"))
    fields: dict = {
        "id": f"run_{number:05}",
        "ts": START + number * HOUR,
        "channel": "alice",
        "session": "channel_alice",
        "user": user,
        "persona": "default",
        "model": "scripted-1",
        "prompt_messages": [
            {"role": "system", "content": "You are kind."},
            {"role": "user", "content": quote_viewer(user, text)},
        ],
        "prompt_text": text,
        "response": response,
        "status": "complete",
        "origin": "stream",
    }
    return ExperienceRow(**{**fields, **changes})


def stream(count: int, first: int = 0) -> list[ExperienceRow]:
    """Different exchanges of forty viewers."""
    return [exchange(n, sentence(n, 6), sentence(-n - 1, 12)) for n in range(first, first + count)]


def sentence(seed: int, words: int) -> str:
    """Words that no other seed gives in this order."""
    rng = random.Random(seed)
    return " ".join("".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(words))


def said(number: int, kind: str, value: float = 1.0, **changes: object) -> FeedbackRow:
    """What the streamer said of exchange `number`."""
    fields: dict = {
        "id": f"{kind}_{number}_{changes.get('ts', START)}",
        "experience": f"run_{number:05}",
        "ts": START,
        "by": "alice",
        "source": "streamer",
        "weight": 5.0,
    }
    return FeedbackRow(kind=kind, value=value, **{**fields, **changes})


async def log(database: Database, *rows: LogRow) -> None:
    """Store rows, durable when this returns."""
    writer = LogWriter(database)
    await writer.start()
    for row in rows:
        await writer.put(row)
    await writer.close()


def address(folder: Path) -> str:
    """The address of a database in `folder`."""
    return f"sqlite+aiosqlite:///{folder / 'understudy.db'}"
