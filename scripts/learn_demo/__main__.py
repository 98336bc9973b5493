"""`make learn-demo`: shows the learning loop from end to end, with figures and their goals.

Takes about two minutes of two cores and 200 MB of disk. Ends with 1 when a goal is missed.

    python -m scripts.learn_demo [--seed 1] [--json] [--keep DIR] [--docs]
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

from rich.console import Console

from scripts.learn_demo.chart import draw
from scripts.learn_demo.demo import Demo
from scripts.learn_demo.figures import Figures, as_json, goals
from scripts.learn_demo.report import lines, markdown, renew, show
from understudy.brains.base import BrainError
from understudy.learning.nightly.setup import EXPECTED
from understudy.storage.errors import StorageError

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PICTURE = Path("images/learn-demo.svg")


def main() -> int:
    """Show it; returns the exit code."""
    arguments = _arguments()
    # What the libraries say to programmers who use them.
    warnings.simplefilter("ignore", FutureWarning)
    console = Console(stderr=arguments.json)
    began = time.monotonic()

    def say(what: str) -> None:
        console.print(f"{time.monotonic() - began:4.0f} s  {what}", highlight=False)

    with tempfile.TemporaryDirectory(prefix="learn-demo-") as folder:
        place = arguments.keep or Path(folder)
        if place.exists() and any(place.iterdir()):
            print(f"{place} is not empty: choose another folder for --keep", file=sys.stderr)
            return 2
        try:
            figures = asyncio.run(Demo(place, arguments.seed, say).run())
        except (*EXPECTED, BrainError, StorageError) as error:
            print(f"the show ended early: {error}", file=sys.stderr)
            return 1
    say("done")
    _tell(figures, console, as_machine=arguments.json)
    if arguments.docs:
        (DOCS / PICTURE).write_text(draw(lines(figures)), "utf-8")
        renew(DOCS / "learning.md", markdown(figures, PICTURE.as_posix()))
    return 0 if all(goal.met for goal in goals(figures)) else 1


def _tell(figures: Figures, console: Console, *, as_machine: bool) -> None:
    if as_machine:
        json.dump(as_json(figures), sys.stdout, indent=2)
        print()
    else:
        show(figures, console)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make learn-demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="another channel, another model")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave everything in DIR")
    parser.add_argument(
        "--docs", action="store_true", help="renew the figures and the picture in docs/learning.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
