"""Follows a folder of files that people edit while the program runs.

Owns the watch. Does not own what is read from the files.
"""

from collections.abc import Callable
from pathlib import Path


async def watch_folder(
    folder: Path, reload: Callable[[], None], on_reload: Callable[[], None] | None = None
) -> None:
    """Call `reload` whenever a file of `folder` is saved; runs until it is cancelled.

    The folder must be there. `on_reload` is called after each reading, the first when the watch
    begins.
    """
    # The type of `stop_event` names trio, which need not be installed.
    from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType]

    def read() -> None:
        reload()
        if on_reload is not None:
            on_reload()

    # What changed between the last reading and the start of the watch would be missed.
    read()
    async for _ in awatch(folder, recursive=False, debounce=400, step=200):
        read()
