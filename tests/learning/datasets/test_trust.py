"""A dataset that made a version worse does not come back."""

import pytest

from tests.learning.building import NOW, Place
from tests.learning.logged import HOUR, exchange, log, said, sentence, stream
from understudy.learning.datasets.errors import DatasetError
from understudy.learning.datasets.splits import conversation_of, split_of
from understudy.learning.datasets.store import Manifest
from understudy.learning.datasets.trust import (
    FailedDatasets,
    failed_datasets,
    reject_dataset,
)
from understudy.storage.examples import Examples
from understudy.storage.rows import ExperienceRow
from understudy.storage.versions import Evaluation, ModelVersion, ModelVersions, VersionState

FIRST, SECOND, THIRD = 40, 30, 20


def week(number: int) -> list[ExperienceRow]:
    """The exchanges of the first, second or third week."""
    counts = (FIRST, SECOND, THIRD)
    return stream(counts[number], first=sum(counts[:number]))


def ids(number: int) -> set[str]:
    return {row.id for row in week(number)}


def everything(place: Place, manifest: Manifest) -> set[str]:
    return place.ids(manifest) | place.ids(manifest, "val") | place.ids(manifest, "old")


async def judged(
    place: Place, dataset: str, state: VersionState = "blocked", *failed: str, name: str = "all@1"
) -> None:
    """Register a version of the dataset that failed at these gates."""
    versions = ModelVersions(place.database)
    version = ModelVersion(
        id=name, base="tiny", base_hash="b", dataset=dataset, state=state, created=1
    )
    await versions.add(version)
    gates = ("G0", "G2", "G3", "G4", *(gate for gate in failed if gate == "G6"))
    rows = [Evaluation(version=name, gate=g, passed=g not in failed, ts=1) for g in gates]
    await versions.add_evaluation(rows)


async def weeks(place: Place) -> tuple[Manifest, Manifest]:
    """The datasets of two weeks; the third is logged."""
    await log(place.database, *week(0))
    first = await place.build()
    await judged(place, first.id, "live", name="all@7")
    await log(place.database, *week(1))
    second = await place.build()
    await log(place.database, *week(2))
    return first, second


async def test_the_line_goes_on_when_no_version_failed(place: Place) -> None:
    _, second = await weeks(place)
    await judged(place, second.id, "candidate")
    third = await place.build()
    assert third.parent == second.id
    assert {row["meta"]["id"] for row in place.rows(third) if row["meta"]["old"]} & ids(1)


async def test_what_was_not_good_enough_is_new_once_more(place: Place) -> None:
    first, second = await weeks(place)
    await judged(place, second.id, "blocked", "G2", "G3")
    third = await place.build()
    assert third.parent == first.id
    old = {row["meta"]["id"] for row in place.rows(third) if row["meta"]["old"]}
    assert old
    assert old <= ids(0)
    assert place.ids(third, "old") <= ids(0)
    assert place.ids(third) - old | place.ids(third, "val") == ids(1) | ids(2)


@pytest.mark.parametrize("gates", [("G4",), ("G2", "G6"), ()])
async def test_what_did_harm_is_left_out(place: Place, gates: tuple[str, ...]) -> None:
    first, second = await weeks(place)
    await judged(place, second.id, "blocked", *gates)
    third = await place.build()
    assert third.parent == first.id
    assert not everything(place, third) & ids(1)
    assert third.report["harmful_dataset"] == SECOND
    await Examples(place.database).judge([min(ids(1))], "approved")
    await log(place.database, *stream(5, first=500))
    fourth = await place.build()
    assert everything(place, fourth) & ids(1) == {min(ids(1))}


async def test_a_dataset_in_the_middle_of_the_line_is_passed_over(place: Place) -> None:
    _, second = await weeks(place)
    third = await place.build()
    await judged(place, second.id, "blocked", "G4")
    await log(place.database, *stream(10, first=500))
    fourth = await place.build()
    assert fourth.parent == third.id
    # Even what the third took over from the second.
    assert not everything(place, fourth) & ids(1)
    assert everything(place, fourth) & ids(0)


async def test_another_version_of_the_dataset_speaks_for_it(place: Place) -> None:
    _, second = await weeks(place)
    await judged(place, second.id, "blocked", "G4")
    await judged(place, second.id, "live", name="all@2")
    assert await failed_datasets(ModelVersions(place.database)) == FailedDatasets()
    assert (await place.build()).parent == second.id


async def test_versions_of_other_places_do_not_matter(place: Place) -> None:
    await judged(place, "20200101-000000-000", "blocked", "G4")
    await judged(place, "", "blocked", "G4", name="all@3")
    await log(place.database, *week(0))
    assert everything(place, await place.build()) == ids(0)


async def test_a_person_rejects_what_was_new_in_a_dataset(place: Place) -> None:
    await weeks(place)
    later = (exchange(600, sentence(900, 6), "No.", ts=NOW + n * HOUR) for n in range(1, 50))
    disliked = next(row for row in later if split_of(conversation_of(row)) == "train")
    await log(
        place.database,
        disliked,
        said(600, "thumb", -1),
        said(1, "thumb", -1, ts=5),
    )
    third = await place.build()
    assert place.ids(third, "kto") >= {disliked.id}
    count = await reject_dataset(place.datasets, Examples(place.database), third.id, "a raid")
    assert count == THIRD + 1
    known = await Examples(place.database).get([disliked.id, min(ids(2)), "run_00001"])
    assert {row.state for row in known.values()} == {"rejected", "auto"}
    assert known["run_00001"].state == "auto"
    assert known[disliked.id].reason == "a raid"
    await log(place.database, *stream(5, first=700))
    fourth = await place.build()
    assert fourth.report["rejected"] == count
    assert not (everything(place, fourth) | place.ids(fourth, "kto")) & (ids(2) | {disliked.id})
    assert everything(place, fourth) & (ids(0) | ids(1))
    with pytest.raises(DatasetError, match="there is no dataset"):
        await reject_dataset(place.datasets, Examples(place.database), "20200101-000000-000")
