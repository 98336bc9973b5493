"""Writes the chosen rows of a dataset into its files.

Owns the shape of the lines. Does not own the choice (`choice`) nor the folder (`store`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from understudy.learning.datasets.anchors import Anchor
from understudy.learning.datasets.candidates import KeptRow
from understudy.learning.datasets.choice import AnchorCandidate, Candidate, Choice
from understudy.learning.datasets.store import Draft

THUMBS_NEEDED = "learning from thumbs needs both: collect some of the other kind"


class DatasetWriter:
    """Writes lines into a draft, from what was put aside there."""

    def __init__(self, draft: Draft, anchors: Sequence[Anchor]) -> None:
        self._draft = draft
        self._anchors = anchors
        self._encode = msgspec.json.Encoder().encode
        self._decoder = msgspec.json.Decoder(KeptRow)

    def write(self, choice: Choice) -> list[str]:
        """Write every file; returns what somebody should be warned of."""
        for row in choice.train:
            self._write("train.jsonl", self._line(row))
        for name, rows in (("val.jsonl", choice.val), ("old.jsonl", choice.old)):
            for row in rows:
                self._write(name, self._line(row))
        for row in choice.anchor:
            self._write("anchor.jsonl", self._anchor(row))
        labels: set[bool] = set()
        for row in choice.kto:
            labels.add(bool(row.label))
            self._write("kto.jsonl", self._labelled(row))
        for row in choice.pairs:
            for line in self._pairs(row):
                self._write("pairs.jsonl", line)
        return _warnings(choice, labels)

    def _write(self, name: str, line: dict[str, Any]) -> None:
        self._draft.write(name, self._encode(line))

    def _kept(self, row: Candidate) -> KeptRow:
        return self._decoder.decode(self._draft.kept(row.place))

    def _line(self, row: Candidate | AnchorCandidate) -> dict[str, Any]:
        if isinstance(row, AnchorCandidate):
            return self._anchor(row)
        kept = self._kept(row)
        return {
            "prompt": kept.prompt,
            "response": kept.response,
            "messages": kept.messages,
            "meta": _meta(kept, row),
        }

    def _labelled(self, row: Candidate) -> dict[str, Any]:
        kept = self._kept(row)
        # The weight is that of the judgement, not of a correction made beside it.
        weight = min(1.0, abs(row.rating))
        return {
            "prompt": kept.prompt,
            "response": kept.said,
            "messages": kept.messages,
            "label": row.label,
            "meta": _meta(kept, row) | {"weight": weight, "group": row.said_group},
        }

    def _pairs(self, row: Candidate) -> list[dict[str, Any]]:
        kept = self._kept(row)
        return [
            {
                "prompt": kept.prompt,
                "messages": kept.messages,
                "chosen": chosen,
                "rejected": rejected,
                "meta": _meta(kept, row) | {"weight": 1.0},
            }
            for chosen, rejected in kept.pairs
        ]

    def _anchor(self, row: AnchorCandidate) -> dict[str, Any]:
        anchor = self._anchors[row.number]
        return {
            "prompt": anchor.prompt,
            "response": anchor.response,
            "messages": anchor.messages,
            "meta": {
                "id": anchor.id,
                "ts": 0,
                "channel": "",
                "persona": "",
                "weight": 1.0,
                "split": "anchor" if row.held_out else "train",
                "session": anchor.id,
                "group": row.group,
                "old": False,
                "anchor": True,
            },
        }


def _meta(kept: KeptRow, row: Candidate) -> dict[str, Any]:
    return kept.meta | {"old": row.old, "anchor": False}


def _warnings(choice: Choice, labels: set[bool]) -> list[str]:
    found: list[str] = []
    if not choice.val:
        found.append(
            "no row of the new time is held out yet: one conversation in ten is, so collect more"
        )
    if len(labels) == 1:
        found.append(one_sided(labels == {True}))
    return found


def one_sided(up: bool) -> str:
    """The warning that all thumbs point the same way."""
    return f"all thumbs are {'up' if up else 'down'}: {THUMBS_NEEDED}"
