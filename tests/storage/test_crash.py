"""What is acknowledged survives a killed process and a power cut."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from understudy.events import ChatMessage
from understudy.storage import sqlite
from understudy.storage.engine import Database
from understudy.storage.log_sql import Planner
from understudy.storage.rows import ChatRow

WRITER = """
import asyncio, os, sys
from understudy.events import ChatMessage
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ChatRow

async def main(url, first):
    writer = LogWriter(await Database.open(url))
    await writer.start()

    async def produce(producer):
        number = 0
        while True:
            number += 1
            id = f"{first}-{producer}-{number}"
            await writer.append(
                ChatRow(ChatMessage(id=id, channel="ann", ts=number, user="bo", text="x" * 60))
            )
            os.write(1, f"{id}\\n".encode())

    await asyncio.gather(*(produce(producer) for producer in range(20)))

asyncio.run(main(*sys.argv[1:]))
"""


def test_kill_9_loses_no_acknowledged_row(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    acknowledged: set[str] = set()
    for life, rows in enumerate((1, 300, 700)):
        command = [sys.executable, "-c", WRITER, f"sqlite+aiosqlite:///{path}", str(life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged.update(process.stdout.readline().strip() for _ in range(rows))
            process.send_signal(signal.SIGKILL)
            # What was acknowledged before the signal arrived; the last line may be cut short.
            acknowledged.update(process.stdout.read().split("\n")[:-1])
    with closing(sqlite3.connect(path)) as connection:
        stored = {row[0] for row in connection.execute("SELECT msg_id FROM chat_message")}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(acknowledged) >= 1_001
    assert acknowledged - stored == set()


class Disk(apsw.VFS):
    """A disk with a cache that forgets: `durable` holds only what a sync has made permanent.

    Before each write number in `cuts` it keeps what a power cut at that moment would leave.
    """

    def __init__(self, cuts: set[int]) -> None:
        super().__init__("power-cut", base="")
        self.durable: dict[str, bytearray] = {}
        self.cached: dict[str, list[tuple[int, bytes | None]]] = {}
        self.acknowledged = self.writes = 0
        self.left: list[tuple[int, dict[str, bytes]]] = []
        self._cuts = cuts

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "DiskFile":
        return DiskFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.durable.pop(filename, None)
        self.cached.pop(filename, None)

    def change(self, name: str, offset: int, data: bytes | None) -> None:
        """Note a write, or with `data` None a truncation to `offset`; neither is durable yet."""
        if self.writes in self._cuts:
            image = {file: bytes(content) for file, content in self.durable.items()}
            self.left.append((self.acknowledged, image))
        self.writes += 1
        self.cached.setdefault(name, []).append((offset, data))

    def sync(self, name: str) -> None:
        content = self.durable.setdefault(name, bytearray())
        for offset, data in self.cached.pop(name, []):
            if data is None:
                del content[offset:]
                continue
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data


class DiskFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.change(self._name, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.change(self._name, newsize, None)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._disk.sync(self._name)


@pytest.fixture
async def empty_database(tmp_path: Path) -> Path:
    path = tmp_path / "live" / "a.db"
    await (await Database.open(f"sqlite+aiosqlite:///{path}")).close()
    return path


def batches() -> Iterator[list[ChatRow]]:
    for start in range(0, 2_000, 10):
        yield [
            ChatRow(ChatMessage(id=f"m{n}", channel="ann", ts=n, user=f"v{n % 90}", text="x" * 300))
            for n in range(start, start + 10)
        ]


def losses_by_power_cut(database: Path, pragmas: str, folder: Path) -> list[int]:
    """Acknowledged rows missing after each of many power cuts, under the product's statements."""
    disk = Disk(cuts=set(range(101, 2_000, 97)))
    disk.durable[str(database)] = bytearray(database.read_bytes())
    planner = Planner("sqlite")
    with closing(apsw.Connection(str(database), vfs="power-cut")) as connection:
        connection.execute(pragmas).fetchall()
        for rows in batches():
            connection.execute("BEGIN IMMEDIATE")
            for step in planner.plan(rows):
                connection.execute(step.sql, step.parameters)
            connection.execute("COMMIT")
            disk.acknowledged += len(rows)
    disk.unregister()
    assert len(disk.left) >= 5
    return [
        acknowledged - rows_after_power_cut(image, folder / str(number))
        for number, (acknowledged, image) in enumerate(disk.left)
    ]


def rows_after_power_cut(image: dict[str, bytes], folder: Path) -> int:
    folder.mkdir()
    for name, content in image.items():
        (folder / Path(name).name).write_bytes(content)
    with closing(sqlite3.connect(folder / "a.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT count(*) FROM chat_message").fetchone()[0]


# Small enough a threshold that power cuts fall into checkpoints too.
CHECKPOINTS = "PRAGMA wal_autocheckpoint = 100;"


def test_a_power_cut_loses_no_acknowledged_row(empty_database: Path, tmp_path: Path) -> None:
    losses = losses_by_power_cut(empty_database, sqlite.PRAGMAS + CHECKPOINTS, tmp_path)
    assert max(losses) <= 0


def test_the_power_cut_test_sees_what_a_weaker_setting_loses(
    empty_database: Path, tmp_path: Path
) -> None:
    weaker = sqlite.PRAGMAS + CHECKPOINTS + "PRAGMA synchronous = NORMAL;"
    losses = losses_by_power_cut(empty_database, weaker, tmp_path)
    assert max(losses) > 0
