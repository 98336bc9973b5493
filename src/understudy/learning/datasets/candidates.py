"""From experiences to candidates: judged, placed, redacted, and put aside as rows.

Owns what is asked of each exchange, in which order, and the count of why some are left out. Does
not own the questions themselves (`curate`, `splits`, `redacted`) nor which candidates are chosen
(`choice`).
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from understudy.learning.datasets.choice import Candidate
from understudy.learning.datasets.curate import Curator, unteachable
from understudy.learning.datasets.duplicates import group_name, signature
from understudy.learning.datasets.splits import Place, Splits, conversation_of
from understudy.learning.datasets.store import Draft
from understudy.learning.judgements import Judgement
from understudy.learning.redacted import ExchangeRedactor, RedactedExchange
from understudy.storage.examples import ExampleRow
from understudy.storage.experiences import RatedExperience


class Observed(msgspec.Struct, frozen=True):
    """An experience and what is known of it."""

    row: RatedExperience
    judgement: Judgement
    deleted: bool


class KeptRow(msgspec.Struct, frozen=True):
    """The texts of a candidate as they were put aside, redacted.

    `said` is the reply as it was said, `response` the one to learn: the same, or a correction.
    """

    prompt: str
    messages: list[dict[str, str]]
    response: str
    said: str
    pairs: list[tuple[str, str]]
    meta: dict[str, Any]


class CandidateRows:
    """Makes candidates of experiences, batch by batch, and counts what is left out."""

    def __init__(
        self,
        curator: Curator,
        splits: Splits,
        redactor: ExchangeRedactor,
        draft: Draft,
        used: Mapping[str, int],
    ) -> None:
        """`used` are the experiences of former datasets and when they were last used (ms)."""
        self.candidates: list[Candidate] = []
        self.report: Counter[str] = Counter()
        self._curator = curator
        self._splits = splits
        self._redactor = redactor
        self._draft = draft
        self._used = used
        self._encode = msgspec.json.Encoder().encode

    def take(self, batch: Sequence[Observed], known: Mapping[str, ExampleRow]) -> list[ExampleRow]:
        """Look at a batch; returns the examples that were met for the first time.

        `known` must hold those of `example_ids` that are known.
        """
        new: list[ExampleRow] = []
        for observed in batch:
            self._look_at(observed, known, new)
        return new

    def _look_at(
        self, observed: Observed, known: Mapping[str, ExampleRow], new: list[ExampleRow]
    ) -> None:
        row, judgement = observed.row, observed.judgement
        example = known.get(row.id)
        reason = self._curator.unfit(row, judgement, example, deleted=observed.deleted)
        if reason or not row.prompt_text.strip():
            self.report[reason or "empty"] += 1
            return
        whole = row.status == "complete" and bool(row.response.strip())
        label = judgement.label if whole else None
        pairs = judgement.pairs(row.response)
        if reason := unteachable(row, judgement):
            self.report[reason] += 1
            if label is None and not pairs:
                return
        said = self._place(row, row.id, row.response, example, new)
        learned = said
        if judgement.correction:
            other = _correction_id(row, judgement)
            learned = self._place(row, other, judgement.correction, known.get(other), new)
        if not (said.usable and learned.usable):
            self.report["other_side"] += 1
            return
        kept = self._redacted(row, judgement, pairs, said, learned)
        if kept is None:
            self.report["redaction"] += 1
            return
        candidate = Candidate(
            id=row.id,
            ts=row.ts,
            channel=row.channel,
            persona=row.persona,
            viewer=row.user,
            split=said.split,
            group=learned.group,
            said_group=said.group,
            teaches=not reason,
            weight=judgement.weight,
            rating=judgement.rating,
            label=label,
            pairs=bool(pairs),
            # What was corrected since it was used is something new to learn.
            old=self._used.get(row.id, -1) >= judgement.corrected,
            place=self._draft.keep(self._encode(kept)),
        )
        self.candidates.append(candidate)

    def _place(
        self,
        row: RatedExperience,
        example_id: str,
        reply: str,
        known: ExampleRow | None,
        new: list[ExampleRow],
    ) -> Place:
        """Where the exchange belongs with this reply; noted for ever when it is new."""
        conversation = conversation_of(row)
        if known is not None:
            return self._splits.place_again(conversation, known)
        place = self._splits.place(conversation, signature(row.prompt_text, reply))
        new.append(
            ExampleRow(
                id=example_id,
                channel=row.channel,
                session=conversation,
                ts=row.ts,
                duplicates=place.group,
                split=place.split,
            )
        )
        return place

    def _redacted(
        self,
        row: RatedExperience,
        judgement: Judgement,
        pairs: Sequence[tuple[str, str]],
        said: Place,
        learned: Place,
    ) -> KeptRow | None:
        """The texts of the row; None when a second redaction finds something in them."""
        redactor = self._redactor
        exchange = redactor.exchange(row)
        response = redactor.text(row.response, row.channel)
        better = [tuple(redactor.text(reply, row.channel) for reply in pair) for pair in pairs]
        correction = redactor.text(judgement.correction, row.channel)
        texts = [m["content"] for m in exchange.messages] + [response, correction]
        texts += [reply for pair in better for reply in pair]
        if not all(redactor.is_clean(text, row.channel) for text in texts):
            return None
        return KeptRow(
            prompt=exchange.prompt,
            messages=exchange.messages,
            response=correction or response,
            said=response,
            pairs=[(chosen, rejected) for chosen, rejected in better],
            meta=_meta(row, exchange, judgement, said, learned),
        )


def example_ids(batch: Sequence[Observed]) -> list[str]:
    """The examples that `CandidateRows.take` asks for."""
    corrections = [
        _correction_id(seen.row, seen.judgement) for seen in batch if seen.judgement.correction
    ]
    return [seen.row.id for seen in batch] + corrections


def _correction_id(row: RatedExperience, judgement: Judgement) -> str:
    """The id of the example that a correction is: another text is another example."""
    return f"{row.id}/{group_name(signature(row.prompt_text, judgement.correction))}"


def _meta(
    row: RatedExperience,
    exchange: RedactedExchange,
    judgement: Judgement,
    said: Place,
    learned: Place,
) -> dict[str, Any]:
    return {
        "id": row.id,
        "ts": row.ts,
        "channel": exchange.channel,
        "persona": exchange.persona,
        "weight": judgement.weight,
        "split": said.split,
        # A session's own name may hold that of a viewer.
        "session": _opaque(conversation_of(row)),
        "group": learned.group,
    }


def _opaque(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
