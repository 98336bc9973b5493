"""The `understudy` command, one module per command.

Owns arguments, what is printed, and exit codes: 0 done, 1 failed (one sentence on stderr),
2 wrong usage. Does not own what the commands do. Heavy rooms are imported by the command that
needs them, so that `--help` is instant.
"""

from understudy.cli.main import main

__all__ = ["main"]
