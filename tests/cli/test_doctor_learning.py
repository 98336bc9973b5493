"""What the doctor says about learning."""

import sqlite3

import pytest

from tests.cli.conftest import Understudy, store
from tests.cli.test_doctor import finding
from tests.learning.logged import stream
from understudy.cli import doctor_learning
from understudy.config import Settings


def test_it_is_off_until_it_is_wanted(understudy: Understudy) -> None:
    assert finding(understudy, "learning", "ok") == "only when told to: set learning.every"


def test_packages_are_looked_for(understudy: Understudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_LEARNING__EVERY", "night")
    monkeypatch.setattr(doctor_learning, "find_spec", lambda name: name != "peft")
    assert finding(understudy, "learning", "broken").endswith(
        "without peft: pip install 'understudy[train]'"
    )


def test_what_came_of_it_last(understudy: Understudy, settings: Settings) -> None:
    store(settings, *stream(3))
    understudy("learn")
    said = finding(understudy, "learning", "ok")
    assert said.endswith("; last time nothing was done: 3 new replies, 300 are worth a training")
    with sqlite3.connect(settings.data_dir / "understudy.db") as database:
        database.execute("UPDATE job SET state = 'failed', result = ?", ['{"error": "no disk"}'])
    assert finding(understudy, "learning", "warning").endswith("; last time failed: no disk")


def test_a_version_that_must_be_made_anew(understudy: Understudy, settings: Settings) -> None:
    store(settings, *stream(3))
    with sqlite3.connect(settings.data_dir / "understudy.db") as database:
        database.execute(
            "INSERT INTO model_version (id, channel, parent, base, base_hash, adapter_hash, "
            "provider, dataset, run, state, reason, metrics, created) VALUES "
            "('all@1', '', '', 'm', 'b', 'a', 'huggingface', 'gone', 'r', 'live', '', '{}', 1)"
        )
        database.execute(
            "INSERT INTO deployment (channel, version, before, share, reason, actor, ts) "
            "VALUES ('', 'all@1', 'base', 1.0, 'r', 'olga', 1)"
        )
    assert finding(understudy, "learning", "warning") == (
        "all@1 learned from the dataset gone, which cannot be looked at: the next training begins "
        "at the base"
    )
