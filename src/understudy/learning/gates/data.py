"""G0: what a version was trained on is fit to be trained on.

Owns the checks of a dataset's rows, made again here although whoever built the dataset made them
too: a file may have been changed, or made by hand. Does not own the dataset (`datasets`) nor what
personal data looks like (`safety.pii`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from understudy.learning.datasets.viewer_share import largest_share
from understudy.learning.gates.limits import Limits
from understudy.learning.gates.verdict import Verdict, verdict
from understudy.learning.training.rows import Row
from understudy.safety.pii import Redactor


class DataFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset holds; all are counts of rows unless they say otherwise."""

    train: int
    held_out: int
    promised: int
    """Rows of the training file by the manifest."""
    personal: int
    """Rows in which a second redaction found something."""
    repeated: int
    """Rows beyond the first of a group of near-duplicates."""
    leaked: int
    """Held-out rows whose session or group is trained on as well."""
    withdrawn: int
    """Rows that were rejected, or whose viewer was forgotten since."""
    viewers: int
    """Viewers who were answered in the new rows."""
    most_of_one: int
    """Most new rows of one viewer."""
    answered: int
    """New rows to train on (neither replayed nor anchors) of which the viewer is known."""
    changed: tuple[str, ...] = ()
    """Files whose hash is not the manifest's."""


class Origin(msgspec.Struct, frozen=True):
    """Who was answered in a row (a viewer's login), and the state of its example."""

    viewer: str = ""
    state: str = ""

    @property
    def is_withdrawn(self) -> bool:
        """Whether it was rejected, or its viewer was forgotten."""
        return self.state in {"rejected", "tombstoned"}


def look_at(
    train: Sequence[Row],
    held_out: Sequence[Row],
    older: Sequence[Row] = (),
    *,
    promised: int,
    redactor: Redactor,
    origins: Mapping[str, Origin],
    changed: Sequence[str] = (),
) -> DataFigures:
    """The figures of a dataset; `origins` is by the id of a row.

    `held_out` are rows of the new time and `older` those of older times, which are held out too.
    """
    new = [row for row in train if not row.meta.old and not row.meta.anchor]
    every = [*train, *held_out, *older]
    viewers = Counter(
        origin.viewer for row in new if (origin := origins.get(str(row.meta.id))) and origin.viewer
    )
    return DataFigures(
        train=len(train),
        held_out=len(held_out),
        promised=promised,
        personal=sum(_holds_personal_data(row, redactor) for row in every),
        repeated=_repeated(train),
        leaked=_leaked(train, [*held_out, *older]),
        withdrawn=sum(origins.get(str(row.meta.id), Origin()).is_withdrawn for row in every),
        viewers=len(viewers),
        most_of_one=max(viewers.values(), default=0),
        answered=sum(viewers.values()),
        changed=tuple(changed),
    )


def fit_to_train(data: DataFigures, limits: Limits) -> Verdict:
    """G0: enough rows, nothing personal, nothing repeated, no viewer with too large a share."""
    problems = [
        problem
        for wrong, problem in (
            (data.changed, f"{', '.join(data.changed)} changed after the dataset was made"),
            (
                data.train != data.promised,
                f"{data.train} rows to train on, {data.promised} were promised",
            ),
            (
                data.train < limits.train_rows,
                f"{data.train} rows to train on, {limits.train_rows} are needed",
            ),
            (
                data.held_out < limits.held_out_rows,
                f"{data.held_out} held-out rows, {limits.held_out_rows} are needed",
            ),
            (data.personal, f"{data.personal} rows hold names or personal data"),
            (data.repeated, f"{data.repeated} rows repeat another"),
            (data.leaked, f"{data.leaked} held-out rows are trained on in another form"),
            (data.withdrawn, f"{data.withdrawn} rows were withdrawn"),
            (_one_rules(data), _share_of_one(data)),
        )
        if wrong
    ]
    well = f"{data.train} rows to train on and {data.held_out} held out, all of them fit"
    return verdict("G0", problems, well, **msgspec.to_builtins(data))


def _one_rules(data: DataFigures) -> bool:
    # Of one row each nobody can have less.
    return data.most_of_one > max(1.0, largest_share(data.viewers) * data.answered)


def _share_of_one(data: DataFigures) -> str:
    return (
        f"one viewer has {data.most_of_one} of {data.answered} new rows, "
        f"{largest_share(data.viewers):.0%} are allowed"
    )


def _holds_personal_data(row: Row, redactor: Redactor) -> bool:
    # A system prompt may name the streamer and the co-host: it is the streamer's own text.
    texts: Iterable[str] = (m.content for m in row.given if m.role != "system")
    return any(redactor.redact(text).findings for text in (*texts, row.response))


def _repeated(rows: Iterable[Row]) -> int:
    groups = Counter(str(row.meta.group) for row in rows if row.meta.group not in ("", 0))
    return sum(count - 1 for count in groups.values())


def _leaked(train: Iterable[Row], held_out: Iterable[Row]) -> int:
    sessions, groups = set[str](), set[str]()
    for row in train:
        # Anchors were not said in any session of ours.
        if not row.meta.anchor:
            sessions.add(row.meta.session)
        groups.add(str(row.meta.group))
    sessions.discard("")
    groups -= {"", "0"}
    return sum(row.meta.session in sessions or str(row.meta.group) in groups for row in held_out)
