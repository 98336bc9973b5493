"""What tokens cost.

Owns the price table (`prices.yaml`, dated) and the arithmetic on it. Does not own what has been
spent (`budget`). A price in USD per million tokens is the same number in millionths of a dollar
per token, so costs are counted in those: whole numbers that add up without drift.
"""

import re
from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import yaml

from understudy.brains.base import Usage

MICROS = 1_000_000
"""Millionths in a dollar."""

# Snapshots cost what the model they are taken of costs: gpt-5.4-2026-03-05, claude-…-20251001.
_SNAPSHOT = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")


class PricesError(Exception):
    """A price table cannot be read; the message is one sentence."""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The price of a model in USD per million tokens.

    `provider` and `model` are shell patterns; `cached` is for input tokens that the provider has
    read before, `written` for those it puts into its cache; the price of other input when None.
    """

    provider: str
    model: str
    input: float
    output: float
    cached: float | None = None
    written: float | None = None

    @property
    def free(self) -> bool:
        """Whether nothing that is read or written costs anything."""
        return not (self.input or self.output or self.cached or self.written)

    def cost(self, usage: Usage) -> int:
        """What `usage` costs in millionths of a dollar."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        written = min(usage.written_tokens, usage.input_tokens - cached)
        return round(
            (usage.input_tokens - cached - written) * self.input
            + cached * (self.input if self.cached is None else self.cached)
            + written * (self.input if self.written is None else self.written)
            + usage.output_tokens * self.output
        )


FREE = Price("*", "*", 0.0, 0.0)
"""The price of what runs on the user's own machine."""


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price table as of `date`; the first price that fits a model counts."""

    date: date
    prices: Sequence[Price]

    def find(self, provider: str, model: str) -> Price | None:
        """The price of the model, None when it is not known."""
        name = _SNAPSHOT.sub("", model)
        for price in self.prices:
            if fnmatchcase(provider, price.provider) and fnmatchcase(name, price.model):
                return price
        return None


def load_prices(own: Path | None = None) -> Prices:
    """The table that comes with Understudy, after the prices of the file `own` if it exists.

    Raises `PricesError` when `own` is not a price table.
    """
    table = _built_in()
    if own is None or not own.is_file():
        return table
    try:
        first = _parse(own.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PricesError(f"{own} is not a price table: {str(error).splitlines()[0]}") from error
    return Prices(first.date, [*first.prices, *table.prices])


@cache
def _built_in() -> Prices:
    text = files("understudy.brains").joinpath("prices.yaml").read_text(encoding="utf-8")
    return _parse(text)


def _parse(text: str) -> Prices:
    document: Any = yaml.safe_load(text)
    return msgspec.convert(document, Prices)


def dollars(micros: int) -> str:
    """An amount for people: `$1.25`, or as many digits as a small one needs."""
    amount = micros / MICROS
    return f"${amount:.2f}" if micros == 0 or amount >= 0.01 else f"${amount:.6f}".rstrip("0")
