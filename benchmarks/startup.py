"""How soon Understudy is ready, and what it weighs: `make bench BENCH=startup`.

Starts the real command on a free port of loopback and prints one table against its goals. Exits
with 1 when a goal is missed. Options: `--runs N` (starts of each kind, default 5) and
`--skip-install` (leaves out the fresh environment, which downloads the dependencies).

Python keeps what it compiled, and installers compile beforehand, so starts are measured with
bytecode at hand, in a folder of this run whatever the shell says about it. A start without any is
printed beside them: it is what a shell with PYTHONDONTWRITEBYTECODE, or an image without bytecode,
pays every time.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("understudy")
START_LIMIT_S = 30.0
IDLE_S = 3.0
NOT_OURS = {"pip", "setuptools", "uv", "wheel", "_distutils_hack"}

Row = tuple[str, float, str, float | None]
"""What was measured, its value, its unit, and the goal to stay below."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def surroundings(bytecode: Path, *, kept: bool = True) -> dict[str, str]:
    """Environment of a process with its bytecode in a folder; `kept` lets it add to it."""
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables if kept else {**variables, "PYTHONDONTWRITEBYTECODE": "1"}


@contextlib.contextmanager
def served(data: Path, variables: dict[str, str]) -> Generator[tuple[int, float]]:
    """A running server as (process id, seconds from the start of the process to ready)."""
    port = free_port()
    arguments = [str(COMMAND), "serve", "--port", str(port), "--data", str(data)]
    log = data.with_suffix(".log")
    # Settings and .env of the checkout stay out of it: the working directory is a bare one.
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            arguments, stdout=output, stderr=output, cwd=data.parent, env=variables
        )
        try:
            while not is_ready(port):
                if process.poll() is not None or time.perf_counter() - began > START_LIMIT_S:
                    sys.exit(f"the server did not become ready:\n{log.read_text(errors='replace')}")
                time.sleep(0.005)
            yield process.pid, time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=START_LIMIT_S)


def memory_mb(pid: int) -> dict[str, float]:
    """Resident (Rss) and proportional (Pss) memory of the process and its children in MB."""
    total = {"Rss": 0.0, "Pss": 0.0}
    for member in [pid, *descendants(pid)]:
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            name, _, amount = line.partition(":")
            if name in total:
                total[name] += int(amount.split()[0]) * 1024 / 1e6
    return total


def descendants(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        children += [int(child) for child in task.read_text().split()]
    return [member for child in children for member in [child, *descendants(child)]]


def measure_starts(runs: int, folder: Path) -> list[Row]:
    fresh: list[float] = []
    existing: list[float] = []
    with served(folder / "data", surroundings(folder / "none", kept=False)) as (_, uncompiled):
        pass
    variables = surroundings(folder / "bytecode")
    with served(folder / "warm", variables):
        pass
    for run in range(runs):
        with served(folder / f"data{run}", variables) as (_, seconds):
            fresh.append(seconds)
        with served(folder / f"data{run}", variables) as (_, seconds):
            existing.append(seconds)
    return [
        (f"start to ready, new data folder (median of {runs})", statistics.median(fresh), "s", 2),
        (f"start to ready, existing data (median of {runs})", statistics.median(existing), "s", 2),
        ("slowest of these starts", max(fresh + existing), "s", None),
        ("start to ready, new data folder, no bytecode (once)", uncompiled, "s", None),
    ]


def measure_memory(folder: Path) -> list[Row]:
    if not Path("/proc/self/smaps_rollup").exists():
        return []
    with served(folder / "data0", surroundings(folder / "bytecode")) as (pid, _):
        time.sleep(IDLE_S)
        memory = memory_mb(pid)
    return [
        (f"memory {IDLE_S:.0f} s after the start, resident", memory["Rss"], "MB", 120),
        ("the same, proportional", memory["Pss"], "MB", None),
    ]


def measure_import(runs: int, folder: Path) -> list[Row]:
    """Seconds of `import understudy.app` in a new interpreter, without the interpreter's own."""
    code = (
        "import time; began = time.perf_counter(); import understudy.app; "
        "print(time.perf_counter() - began)"
    )
    command = [sys.executable, "-c", code]
    variables = surroundings(folder / "bytecode")
    times = [float(subprocess.check_output(command, text=True, env=variables)) for _ in range(runs)]
    return [(f"import understudy.app (median of {runs})", statistics.median(times), "s", 1)]


def measure_install(folder: Path) -> list[Row]:
    """Size of a base install without extras in a fresh environment, installers left out."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        sys.exit("uv is missing: run `make install`")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    # Copies and bytecode, as pip leaves them: links into uv's cache would weigh nothing.
    options = ["--quiet", "--link-mode", "copy", "--compile-bytecode", "--python", python]
    subprocess.run(
        [uv, "pip", "install", *options, "-c", ROOT / "constraints.txt", ROOT], check=True
    )
    (packages,) = (environment / "lib").glob("python3*/site-packages")
    ours = [path for path in packages.iterdir() if path.name.partition("-")[0] not in NOT_OURS]
    size = sum(
        file.stat().st_size
        for top in ours
        for file in ([top] if top.is_file() else top.rglob("*"))
        if file.is_file() and not file.is_symlink()
    )
    return [("base install without extras, with bytecode", size / 1e6, "MB", 150)]


def show(rows: list[Row]) -> bool:
    """Print the table; whether every goal was met."""
    table = Table(title="Understudy: start and weight")
    for heading in ("measured", "value", "goal", ""):
        table.add_column(heading, justify="left" if heading == "measured" else "right")
    for name, value, unit, goal in rows:
        verdict = "" if goal is None else "ok" if value < goal else "MISSED"
        shown_goal = "" if goal is None else f"< {goal:g} {unit}"
        table.add_row(
            name,
            f"{value:.2f} {unit}" if unit == "s" else f"{value:.1f} {unit}",
            shown_goal,
            verdict,
        )
    Console(width=100).print(table)
    return all(goal is None or value < goal for _, value, _, goal in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="starts of each kind")
    parser.add_argument("--skip-install", action="store_true", help="no fresh environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as name:
        folder = Path(name)
        rows = measure_starts(options.runs, folder)
        rows += measure_memory(folder)
        rows += measure_import(options.runs, folder)
        if not options.skip_install:
            rows += measure_install(folder)
    sys.exit(not show(rows))


if __name__ == "__main__":
    main()
