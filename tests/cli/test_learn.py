"""`understudy learn`, up to a real training of a tiny model that a gate stops."""

from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Understudy, one_line, store
from tests.learning.logged import stream
from tests.tiny_model import build_model
from understudy.config import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


def test_without_a_log_there_is_a_word_for_it(understudy: Understudy) -> None:
    assert "there is no database" in one_line(understudy("learn"))


def test_too_little_is_no_failure(settings: Settings, understudy: Understudy) -> None:
    store(settings, *stream(3))
    assert "nothing was learned yet" in understudy("learn", "--list").stdout
    done = understudy("learn")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "nothing was done: 3 new replies, 300 are worth a training\n"
    said = msgspec.json.decode(understudy("learn", "--channel", "nobody", "--json").stdout)
    assert (said["ended"], said["version"]) == ("skipped", "")
    newest, first = understudy("learn", "--list").stdout.splitlines()
    assert newest.endswith(
        "nobody           nothing was done: 0 new replies, 300 are worth a training"
    )
    assert first.endswith(
        "all              nothing was done: 3 new replies, 300 are worth a training"
    )
    assert len(msgspec.json.decode(understudy("learn", "--list", "--json").stdout)) == 2


def test_a_base_that_is_not_there_is_told(
    settings: Settings, understudy: Understudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(settings, *stream(60))
    monkeypatch.setenv("UNDERSTUDY_LEARNING__NEW_REPLIES", "50")
    monkeypatch.setenv("UNDERSTUDY_BRAIN__HF_MODEL", "/nowhere/to/be/found")
    done = understudy("learn", "--json")
    assert "/nowhere/to/be/found" in one_line(done)
    assert " failed: the model /nowhere/to/be/found is not " in understudy("learn", "--list").stdout


def test_the_way_to_the_gates(
    settings: Settings, understudy: Understudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="the extra understudy[train] is not installed")
    store(settings, *stream(120))
    monkeypatch.setenv("UNDERSTUDY_LEARNING__NEW_REPLIES", "50")
    monkeypatch.setenv("UNDERSTUDY_BRAIN__HF_MODEL", str(build_model(tmp_path / "base")))
    monkeypatch.setenv("UNDERSTUDY_BRAIN__DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = understudy("learn")
    assert done.exit_code == 1
    steps = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert steps == ["build", "train", "register", "evaluate", "version"]
    assert "version all@1 is blocked: G0 " in done.stdout
    assert "all@1" in understudy("models", "list").stdout
