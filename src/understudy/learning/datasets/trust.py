"""Which datasets must not come back: those whose versions failed, and those a person rejects.

Owns what follows from a version's fate for the dataset it was trained on. Does not own the versions
(`storage.versions`), the examples (`storage.examples`) nor the datasets (`store`).

Nothing that is in use was trained on a dataset whose versions are all blocked: its rows are no old
knowledge to be refreshed, and the next dataset is built as if there were none. If it only was not
good enough, its rows are new once more. If it did harm (bad behaviour, a canary that was taken back
for danger, a person's decision), they are left out until somebody approves them.
"""

from collections.abc import Sequence

import msgspec

from understudy.learning.datasets.store import Datasets
from understudy.storage.examples import Examples
from understudy.storage.versions import Evaluation, ModelVersions

HARM_GATES = frozenset({"G4", "G6"})
"""Gates whose failure says that a version did, or would do, harm."""


class FailedDatasets(msgspec.Struct, frozen=True):
    """The ids of datasets whose versions are all blocked, and of those that did harm."""

    failed: frozenset[str] = frozenset()
    harmful: frozenset[str] = frozenset()


async def failed_datasets(versions: ModelVersions) -> FailedDatasets:
    """What is known of all datasets by now."""
    known = await versions.list()
    standing = {version.dataset for version in known if version.state != "blocked"}
    blocked = [v for v in known if v.dataset and v.dataset not in standing]
    harmful = {v.dataset for v in blocked if _did_harm(await versions.newest_evaluation(v.id))}
    return FailedDatasets(frozenset(v.dataset for v in blocked), frozenset(harmful))


async def reject_dataset(
    datasets: Datasets, examples: Examples, dataset: str, reason: str = ""
) -> int:
    """Reject every exchange that was new in the dataset for good; returns how many there are.

    Raises `DatasetError`.
    """
    ids = sorted(datasets.new_rows(dataset))
    return await examples.judge(ids, "rejected", reason or f"dataset {dataset} was rejected")


def _did_harm(evaluation: Sequence[Evaluation]) -> bool:
    failed = {row.gate for row in evaluation if not row.passed}
    # Blocked although no gate objected: somebody decided it.
    return not failed or bool(failed & HARM_GATES)
