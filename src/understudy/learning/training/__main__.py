"""`python -m understudy.learning.training FOLDER` carries out the job in FOLDER.

The process that `process` starts. It ends with 0 when the training is done, 1 when it failed, 3
when it was stopped and 4 when another trainer is at work in FOLDER; FOLDER says more.
"""

import argparse
import logging
import os
import signal
import sys
import warnings
from pathlib import Path

from understudy.learning.training.errors import ClaimedError, TrainingError
from understudy.learning.training.run_folder import RunFolder
from understudy.learning.training.trainer import train

CLAIMED = 4
_CODES = {"done": 0, "failed": 1, "stopped": 3}


class _Stop:
    """Asked to stop by a signal, or left alone by the process that wanted the training."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self._asked or (self._parent > 0 and os.getppid() != self._parent)

    def _ask(self, *_: object) -> None:
        self._asked = True


def main() -> int:
    """Train as the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m understudy.learning.training")
    parser.add_argument("folder", type=Path, help="holds job.json")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument(
        "--parent", type=int, default=0, help="stop when this process is no longer the parent"
    )
    arguments = parser.parse_args()
    stop = _Stop(arguments.parent)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    # What the libraries say to programmers who use them.
    warnings.simplefilter("ignore", FutureWarning)
    try:
        result = train(RunFolder(arguments.folder), resume=arguments.resume, stop=stop)
    except TrainingError as error:
        print(error, file=sys.stderr)
        return CLAIMED if isinstance(error, ClaimedError) else 1
    if result.error:
        print(result.error, file=sys.stderr)
    return _CODES[result.state]


if __name__ == "__main__":
    sys.exit(main())
