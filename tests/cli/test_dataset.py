import asyncio
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Json, Understudy, one_line, opened, store, usage_error
from tests.learning.logged import START, exchange, said, stream
from understudy.config import Settings
from understudy.storage.versions import ModelVersion, ModelVersions


@pytest.fixture
def logged(settings: Settings) -> Settings:
    """A log of a hundred exchanges and a few thumbs."""
    store(settings, *stream(100), said(1, "thumb"), said(2, "thumb", -1))
    return settings


def built(understudy: Understudy, *options: object) -> Json:
    done = understudy("dataset", "build", "--json", *options)
    assert done.exit_code == 0, done.stderr
    return msgspec.json.decode(done.stdout)


def test_build_list_and_show(logged: Settings, understudy: Understudy) -> None:
    done = understudy("dataset", "build", "--channel", "alice")
    assert done.exit_code == 0
    assert "100 experiences looked at" in done.stdout
    assert "left out: 1 disliked" in done.stdout
    (manifest,) = msgspec.json.decode(understudy("dataset", "list", "--json").stdout)
    id = manifest["id"]
    assert (logged.data_dir / "learning" / "datasets" / id / "train.jsonl").is_file()
    assert f"{id} " in understudy("dataset", "list").stdout
    shown = understudy("dataset", "show", id)
    assert shown.stdout == done.stdout
    assert msgspec.json.decode(understudy("dataset", "show", id, "--json").stdout) == manifest


def test_options_reach_the_dataset(logged: Settings, understudy: Understudy) -> None:
    store(logged, exchange(500, "hi there", "Moin.", persona="calm_coach"))
    options = ("--replay", 0.5, "--seed", 7, "--persona", "default", "--since", "2027-01-18T20:00")
    manifest = built(understudy, *options)
    assert (manifest["replay"], manifest["seed"], manifest["persona"]) == (0.5, 7, "default")
    assert manifest["filter"]["since"] > START
    assert 0 < manifest["looked_at"] < 100


def test_bots_and_words_of_the_settings_count(
    settings: Settings, understudy: Understudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_DIRECTOR__BOTS", '["viewer3"]')
    monkeypatch.setenv("UNDERSTUDY_SAFETY__BLOCKED_WORDS", '["voldemort"]')
    store(settings, *stream(40), exchange(60, "who is it", "It is Voldemort of course."))
    assert built(understudy)["report"] == {"blocked": 1, "bot": 1}


def test_one_sided_thumbs_are_a_warning(settings: Settings, understudy: Understudy) -> None:
    store(settings, *stream(60), *(said(n, "thumb") for n in range(60)))
    done = understudy("dataset", "build")
    assert done.exit_code == 0
    assert "warning: all thumbs are up" in done.stderr


def test_a_rejected_dataset_never_comes_back(logged: Settings, understudy: Understudy) -> None:
    first = built(understudy)["id"]
    add_version(logged, id="all@1", dataset=first, state="live")
    add_version(logged, id="ada@1", channel="ada", dataset=first, state="canary")
    add_version(logged, id="all@2", dataset=first, state="retired")
    done = understudy("dataset", "reject", first, "--reason", "a raid")
    assert done.stdout == f"100 exchanges of dataset {first} are rejected\n"
    assert done.stderr.splitlines() == [
        f"warning: {version}, which was trained on it, is {state}: take it back with understudy "
        f"models rollback{channel}"
        for version, state, channel in (
            ("ada@1", "canary", " --channel ada"),
            ("all@1", "live", ""),
        )
    ]
    store(logged, *stream(30, first=200))
    second = built(understudy)
    assert second["report"] == {"rejected": 100}
    assert second["rows"]["old"] == 0
    told = understudy("dataset", "reject", second["id"], "--json")
    assert msgspec.json.decode(told.stdout) == {"rejected": 30, "versions": []}
    assert "there is no dataset nope" in one_line(understudy("dataset", "reject", "nope"))


def add_version(settings: Settings, **fields: str) -> None:
    """Register a version."""

    async def work() -> None:
        async with opened(settings) as database:
            version = ModelVersion(**{"base": "tiny", "base_hash": "b", "created": 1, **fields})  # type: ignore[arg-type]
            await ModelVersions(database).add(version)

    asyncio.run(work())


def test_what_cannot_be_built_is_one_sentence(settings: Settings, understudy: Understudy) -> None:
    assert "there is no database at" in one_line(understudy("dataset", "build"))
    store(settings)
    assert "nothing was said there yet" in one_line(understudy("dataset", "build"))
    store(settings, exchange(0, "hi", " "))
    assert "left out: empty 1" in one_line(understudy("dataset", "build"))
    assert understudy("dataset", "list").stdout == ""


def test_a_changed_dataset_is_refused(logged: Settings, understudy: Understudy) -> None:
    id = built(understudy)["id"]
    path = logged.data_dir / "learning" / "datasets" / id / "train.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")
    assert f"train.jsonl of dataset {id} was changed" in one_line(understudy("dataset", "show", id))


def test_wrong_usage(understudy: Understudy) -> None:
    assert "there is no dataset nope" in one_line(understudy("dataset", "show", "nope"))
    assert "is not a time" in usage_error(understudy("dataset", "build", "--since", "soon"))
    assert "Invalid value for '--replay'" in usage_error(
        understudy("dataset", "build", "--replay", 1)
    )


def test_listing_makes_nothing(understudy: Understudy, settings: Settings, workplace: Path) -> None:
    assert understudy("dataset", "list", "--json").stdout.strip() == "[]"
    assert not settings.data_dir.exists()
    assert list(workplace.iterdir()) == []
