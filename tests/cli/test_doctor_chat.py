"""What the doctor says about the chat: where it is read, where it is copied, who reads its mood."""

import gc
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Understudy
from tests.cli.test_doctor import finding
from tests.fakes.twitch_id import CLIENT_ID
from tests.storage.mongo_server import wire_server
from understudy.cli import doctor_chat
from understudy.config import Settings
from understudy.storage.mongo_client import place_of


@pytest.fixture
def listener() -> Iterator[str]:
    """The address of something that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nothing() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def put(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"UNDERSTUDY_{name}", value)


def log_in(settings: Settings, client_id: str = CLIENT_ID, scopes: str = "user:write:chat") -> None:
    token = {"client_id": client_id, "access_token": "a-secret", "refresh_token": "r-secret"}
    token |= {"expires_at": time.time() + 60, "login": "cohost_bot", "scopes": [scopes]}  # type: ignore[dict-item]
    settings.data_dir.mkdir()
    (settings.data_dir / "twitch.token").write_bytes(msgspec.json.encode(token))


def test_what_is_not_wanted_is_well(understudy: Understudy) -> None:
    assert "set twitch.channels; without an account" in finding(understudy, "twitch", "ok")
    assert "set youtube.video" in finding(understudy, "youtube", "ok")
    assert "set discord.token" in finding(understudy, "discord", "ok")
    assert "set mongo.url" in finding(understudy, "mongo", "ok")
    assert "with the word lists" in finding(understudy, "mood", "ok")


def test_twitch_is_reached(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, listener: str, nothing: str
) -> None:
    put(monkeypatch, TWITCH__CHANNELS="#Mara,ana", TWITCH__IRC_URL=f"tcp://{listener}")
    assert finding(understudy, "twitch", "ok") == "reads mara, ana; without an account"
    put(monkeypatch, TWITCH__IRC_URL=f"tcp://{nothing}")
    detail = finding(understudy, "twitch", "broken")
    assert detail == f"{nothing} cannot be reached: check the network and twitch.irc_url"


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("TWITCH__CHANNELS", "not a channel", "use its login"),
        ("TWITCH__IRC_URL", "gopher://x", "write wss://"),
        ("TWITCH__SEND", "true", "set twitch.client_id"),
    ],
)
def test_twitch_is_set_wrongly(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, name: str, value: str, fix: str
) -> None:
    put(monkeypatch, **{name: value})
    assert fix in finding(understudy, "twitch", "broken")


def test_the_login_to_twitch(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    put(monkeypatch, TWITCH__CLIENT_ID=CLIENT_ID)
    assert "nobody is logged in: use the page" in finding(understudy, "twitch", "ok")
    put(monkeypatch, TWITCH__SEND="true")
    assert "nobody is logged in: use the page" in finding(understudy, "twitch", "warning")
    log_in(settings)
    detail = finding(understudy, "twitch", "ok")
    assert detail.endswith("logged in as cohost_bot")
    assert "secret" not in detail
    put(monkeypatch, TWITCH__CLIENT_ID="another")
    assert "of another twitch.client_id" in finding(understudy, "twitch", "warning")


def test_a_login_that_is_of_little_use(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    put(monkeypatch, TWITCH__CLIENT_ID=CLIENT_ID, TWITCH__SEND="true")
    log_in(settings, scopes="user:read:chat")
    assert "but not to write: log in again" in finding(understudy, "twitch", "warning")
    (settings.data_dir / "twitch.token").write_text("{")
    assert "holds no login" in finding(understudy, "twitch", "broken")


def test_youtube(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, listener: str, nothing: str
) -> None:
    put(monkeypatch, YOUTUBE__VIDEO="dQw4w9WgXcQ", YOUTUBE__URL=f"http://{listener}/v3")
    assert "set youtube.api_key" in finding(understudy, "youtube", "broken")
    put(monkeypatch, YOUTUBE__API_KEY="hunter2")
    assert finding(understudy, "youtube", "ok") == "reads the chat of dQw4w9WgXcQ"
    put(monkeypatch, YOUTUBE__URL=f"http://{nothing}/v3")
    assert "check the network and youtube.url" in finding(understudy, "youtube", "broken")
    put(monkeypatch, YOUTUBE__URL="http://[x/v3")
    assert "youtube.url is no address" in finding(understudy, "youtube", "broken")
    put(monkeypatch, YOUTUBE__VIDEO="cats")
    assert "is no YouTube video" in finding(understudy, "youtube", "broken")


def test_discord(understudy: Understudy, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, DISCORD__TOKEN="hunter2")
    monkeypatch.setattr(doctor_chat, "find_spec", lambda name: None)
    assert "pip install 'understudy[discord]'" in finding(understudy, "discord", "broken")
    monkeypatch.setattr(doctor_chat, "find_spec", lambda name: object())
    assert "set discord.channels" in finding(understudy, "discord", "warning")
    put(monkeypatch, DISCORD__CHANNELS='{"123": "general"}')
    assert finding(understudy, "discord", "ok") == "reads general"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mongo(understudy: Understudy, monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    put(monkeypatch, MONGO__URL=f"mongodb://kim:hunter2@{nothing}/?serverSelectionTimeoutMS=100")
    monkeypatch.setattr("understudy.storage.mongo_client.SELECTION_MS", 100)
    detail = finding(understudy, "mongo", "broken")
    assert "hunter2" not in detail
    assert nothing in detail
    # PyMongo leaves a socket open when it is closed while it connects.
    gc.collect()
    put(monkeypatch, MONGO__URL="mongodb://kim:hunter2@[bad")
    assert "is not a MongoDB address" in finding(understudy, "mongo", "broken")


def test_a_mongodb_that_is_there(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with wire_server(tmp_path) as url:
        put(monkeypatch, MONGO__URL=f"{url}?directConnection=true")
        detail = finding(understudy, "mongo", "ok")
        assert detail == f"a copy of the chat goes to {place_of(url)}"


def test_the_mood(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    version = settings.data_dir / "models" / "mood" / "20261121-180000"
    version.mkdir(parents=True)
    (version / "model.npz").write_bytes(b"no weights")
    assert "read with the word lists: " in finding(understudy, "mood", "warning")
    put(monkeypatch, MOOD__CLASSIFIER="openai")
    assert "mood.model is empty: name the model" in finding(understudy, "mood", "warning")
    put(monkeypatch, MOOD__MODEL="gpt-mood", BRAIN__OPENAI_API_KEY="hunter2")
    assert "gpt-mood" in finding(understudy, "mood", "ok")
    put(monkeypatch, MOOD__CLASSIFIER="lexicon")
    assert finding(understudy, "mood", "ok") == "read with the word lists"
    put(monkeypatch, MOOD__ENABLED="false")
    assert finding(understudy, "mood", "ok") == "off"
