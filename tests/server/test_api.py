"""What the web app uses: the archive with its decisions, status, feedback, the big buttons."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from tests.server.wire import assert_problem
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.engine.channel import Channel
from understudy.events import ChatMessage
from understudy.storage.tables import feedback as feedback_table


async def rehearse(server: Running, **body: Any) -> dict[str, Any]:
    """Play the sample as fast as it goes and return how it ended, with its report."""
    asked = {"sample": True, "speed": "max", "seed": 1} | body
    started = await server.http.post("/api/v1/rehearsals", json=asked)
    assert started.status_code == 201, started.text
    path = f"/api/v1/rehearsals/{started.json()['id']}"
    async with asyncio.timeout(30):
        while True:
            shown = (await server.http.get(path)).json()
            if shown["state"] != "running":
                return shown
            await asyncio.sleep(0.02)


@pytest.fixture
async def patient(tmp_path):
    """A server without rate limits to speak of."""
    async with running(settings_for(tmp_path, limits__per_address=1e9)) as server:
        yield server


async def pages(server: Running, limit: int, query: str = "") -> list[list[dict[str, Any]]]:
    """The pages of the archive, followed by their cursors to the end."""
    found: list[list[dict[str, Any]]] = []
    after = ""
    while True:
        params = f"limit={limit}&after={after}{query}"
        page = (await server.http.get(f"/api/v1/messages?{params}")).json()
        found.append(page["messages"])
        if page["next"] is None:
            return found
        after = page["next"]


async def test_the_archive_is_read_page_by_page(patient: Running) -> None:
    report = (await rehearse(patient))["report"]
    (everything,) = await pages(patient, 1_000)
    assert len(everything) == report["events"]["ChatMessage"]
    assert set(everything[0]) == {
        "id", "ts", "channel", "user", "name", "text", "role", "first", "decision", "deleted",
    }  # fmt: skip
    assert [m["ts"] for m in everything] == sorted(m["ts"] for m in everything)
    for limit in (100, 173):
        cut = await pages(patient, limit)
        assert [message for page in cut for message in page] == everything
        assert all(len(page) == limit for page in cut[:-1])
    newest = await pages(patient, 250, "&newest=true")
    ids = [message["id"] for page in newest for message in page]
    assert sorted(ids) == sorted(message["id"] for message in everything)
    assert newest[0][0]["ts"] == everything[-1]["ts"]


async def test_every_message_has_its_decision(patient: Running) -> None:
    report = (await rehearse(patient))["report"]
    (everything,) = await pages(patient, 1_000)
    fates = {fate["id"]: (fate["action"], fate["reason"]) for fate in report["fates"]}
    assert everything
    for message in everything:
        decision = message["decision"]
        assert (decision["action"], decision["reason"]) == fates[message["id"]]
        assert decision["detail"].endswith((".", "!", "?"))
        assert bool(decision["turn"]) == (decision["action"] == "answered")
    assert any(message["deleted"] for message in everything)
    assert (await pages(patient, 10, "&channel=nobody")) == [[]]
    assert (await pages(patient, 1_000, "&channel=rehearsal")) == [everything]


async def test_feedback_is_stored_before_it_is_acknowledged(server: Running) -> None:
    body = {"session_id": "s", "user": "u", "message": "hi"}
    answer = (await server.http.post("/chat", json=body)).json()
    turn = answer["message_id"].removesuffix("_reply")
    judgement = {"turn": turn, "kind": "thumbs", "note": "too long"}
    for value in (-1, 1):
        stored = await server.http.post("/api/v1/feedback", json=judgement | {"value": value})
        assert stored.status_code == 201
        assert stored.json()["id"]
    row = feedback_table.c
    async with server.application.services.database.read() as connection:
        kept = await connection.execute(select(row.kind, row.value, row.note))
        assert sorted(tuple(entry) for entry in kept) == [
            ("thumb", -1.0, "too long"),
            ("thumb", 1.0, "too long"),
        ]


async def test_status_tells_the_state(server: Running) -> None:
    status = (await server.http.get("/api/v1/status")).json()
    assert status["cohost"] == "Understudy"
    assert status["persona"] == "default"
    assert status["channels"] == []
    assert status["muted"] is False
    assert status["problems"] == []
    assert status["uptime_s"] >= 0
    assert status["brain"]["provider"] == "scripted"
    assert {"queued", "committed", "parked", "last_error"} <= set(status["storage"])


async def test_status_names_a_broken_persona_file(tmp_path) -> None:
    folder = tmp_path / "personas"
    folder.mkdir()
    (folder / "broken.yaml").write_text("name: [", encoding="utf-8")
    async with running(settings_for(tmp_path)) as server:
        problems = (await server.http.get("/api/v1/status")).json()["problems"]
        assert len(problems) == 1
        assert "broken" in problems[0]
        assert (await server.http.get("/personas")).json()["problems"]


async def test_muting_is_seen_in_the_decisions(patient: Running) -> None:
    assert (await patient.http.post("/api/v1/actions/mute")).json()["muted"] is True
    assert (await patient.http.get("/api/v1/status")).json()["muted"] is True
    report = (await rehearse(patient, channel="muted"))["report"]
    assert report["replies"] == []
    assert {fate["action"] for fate in report["fates"]} <= {"skipped", "blocked"}
    assert any(fate["reason"] == "muted" for fate in report["fates"])
    assert (await patient.http.post("/api/v1/actions/unmute")).json()["muted"] is False
    report = (await rehearse(patient, channel="heard"))["report"]
    assert report["replies"]
    assert not any(fate["reason"] == "muted" for fate in report["fates"])


class Stage:
    """A live channel on a server whose brain takes its time, as a Twitch source would open it."""

    def __init__(self, server: Running) -> None:
        self.services = server.application.services
        self.channel = Channel(
            "ana_plays",
            self.services.settings,
            self.services.turns,
            self.services.bus.publish,
        )
        self._number = 0

    async def says(self, user: str, text: str) -> None:
        self._number += 1
        await self.channel.receive(
            ChatMessage(
                id=f"m{self._number}",
                channel=self.channel.name,
                ts=1_700_000_000_000 + self._number,
                user=user,
                text=text,
            )
        )

    async def under_way(self) -> None:
        """Wait until a reply is being said."""
        active = self.services.turns.active_run
        await until(lambda: (run := active(self.channel.session)) is not None and bool(run.text()))


@pytest.fixture
async def stage(tmp_path):
    settings = settings_for(tmp_path, brain__words_per_second=4)
    async with running(settings) as server:
        stage = Stage(server)
        await stage.services.channels.add(stage.channel)
        yield stage, server


async def decisions(server: Running) -> dict[str, dict[str, Any]]:
    await server.application.services.bus.drained()
    await server.application.services.log.flushed()
    (messages,) = await pages(server, 1_000)
    return {message["text"]: message["decision"] for message in messages}


async def test_skip_ends_the_reply_under_way_only(stage: tuple[Stage, Running]) -> None:
    channel, server = stage
    await channel.says("ben", "@understudy tell me a joke")
    await channel.under_way()
    run = channel.services.turns.active_run(channel.channel.session)
    assert run is not None
    skipped = await server.http.post("/api/v1/actions/skip")
    assert skipped.json() == {"muted": False, "skipped": 1}
    reply = await run.result()
    assert reply.status == "stopped"
    assert reply.text
    assert (await server.http.post("/api/v1/actions/skip")).json()["skipped"] == 0
    found = await decisions(server)
    assert found["@understudy tell me a joke"]["action"] == "answered"
    history = await server.http.get(f"/chat/sessions/{channel.channel.session}")
    # The session of a stream is created by its source; what was shown is in the experience.
    assert history.status_code in {200, 404}


async def test_panic_silences_at_once_and_for_good(stage: tuple[Stage, Running]) -> None:
    channel, server = stage
    await channel.says("ben", "@understudy tell me a joke")
    await channel.under_way()
    run = channel.services.turns.active_run(channel.channel.session)
    assert run is not None
    await channel.says("eva", "@understudy and me?")
    assert (await server.http.post("/api/v1/actions/panic")).json()["muted"] is True
    assert (await run.result()).status == "stopped"
    await channel.says("zoe", "@understudy hello?")
    found = await decisions(server)
    assert found["@understudy and me?"]["reason"] == "muted"
    assert found["@understudy hello?"]["reason"] == "muted"
    assert channel.services.turns.active == 0
    assert (await server.http.post("/api/v1/actions/unmute")).json()["muted"] is False


async def test_pages_say_what_is_missing_when_the_app_is_not_built(
    server: Running, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.server.routes.pages.dist_folder", lambda: tmp_path)
    page = await server.http.get("/")
    assert page.status_code == 200
    assert "not built" in page.text
    assert_problem(await server.http.get("/overlay/chat"), 404)
    assert (await server.http.get("/try")).headers["content-type"].startswith("text/html")
