"""What the doctor finds: the form of its lines. Does not own the checks."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from understudy.config import Settings


class Finding(msgspec.Struct):
    """One line of the doctor: a part, its state (`ok`, `warning`, `broken`) and what to do."""

    part: str
    state: str
    detail: str


Check = Callable[["Settings"], Awaitable[Finding]]
"""Looks at one part; never raises for what people can do something about."""
