"""The versions of the trained mood model on the disk: `DIR/models/mood/<version>/`.

Owns the folder: `model.npz` with the weights and `figures.json` with what is known of them; the
newest version is the current one. Does not own what is in the weights (`trained`).
"""

import os
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from understudy.mood.errors import MoodError
from understudy.mood.figures import Figures
from understudy.mood.lexicon import Lexicon
from understudy.mood.trained import TrainedModel

WEIGHTS, CARD = "model.npz", "figures.json"
_VERSION = re.compile(r"[0-9]{8}-[0-9]{6}(-[0-9]+)?")


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a version: when it was trained, on what, and its cross-validated figures."""

    version: str
    trained: str
    """ISO 8601 in UTC."""
    labels: dict[str, int]
    folds: int
    figures: Figures


class MoodModels:
    """The versions in one folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not exist yet."""
        self._folder = folder

    def versions(self) -> list[str]:
        """All complete versions, oldest first."""
        if not self._folder.is_dir():
            return []
        names = [p.name for p in self._folder.iterdir() if (p / WEIGHTS).is_file()]
        return sorted((name for name in names if _VERSION.fullmatch(name)), key=_order)

    def current(self) -> str | None:
        """The newest version; None when none was trained."""
        return next(reversed(self.versions()), None)

    def load(self, version: str = "", *, lexicon: Lexicon | None = None) -> TrainedModel:
        """A version, the current one by default; raises `MoodError`."""
        chosen = version or self.current()
        if chosen is None:
            raise MoodError("no mood model was trained yet: run understudy mood train FILE")
        if chosen not in self.versions():
            known = ", ".join(self.versions()) or "none"
            raise MoodError(f"there is no mood model {chosen[:64]}: there are {known}")
        return TrainedModel.load(self._folder / chosen / WEIGHTS, lexicon=lexicon)

    def card(self, version: str) -> ModelCard | None:
        """What is known of a version; None when its card is missing or cannot be read."""
        try:
            data = (self._folder / version / CARD).read_bytes()
            return msgspec.json.decode(data, type=ModelCard)
        except (OSError, msgspec.DecodeError):
            return None

    def save(
        self, model: TrainedModel, figures: Figures, labels: dict[str, int], folds: int
    ) -> ModelCard:
        """Store a new version, whole or not at all; raises `MoodError`."""
        now = datetime.now(UTC)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            version = self._new_version(now)
            card = ModelCard(
                version=version,
                trained=f"{now:%Y-%m-%dT%H:%M:%SZ}",
                labels=labels,
                folds=folds,
                figures=figures,
            )
            self._write(card, model)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise MoodError(
                f"the mood model cannot be written to {self._folder} ({reason}): make room or"
                " choose another data directory"
            ) from None
        return card

    def _write(self, card: ModelCard, model: TrainedModel) -> None:
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self._folder))
        try:
            model.save(draft / WEIGHTS)
            data = msgspec.json.format(msgspec.json.encode(card), indent=2)
            (draft / CARD).write_bytes(data + b"\n")
            os.replace(draft, self._folder / card.version)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _new_version(self, now: datetime) -> str:
        """The time, with a number behind it when there is a version of that second already."""
        version = first = f"{now:%Y%m%d-%H%M%S}"
        number = 1
        while (self._folder / version).exists():
            number += 1
            version = f"{first}-{number}"
        return version


def _order(version: str) -> tuple[str, int]:
    day, time, *number = version.split("-")
    return day + time, int(number[0]) if number else 1
