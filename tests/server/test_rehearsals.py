"""Rehearsals over HTTP: the sample, uploads in pieces, stops, and what goes wrong."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.server.wire import assert_problem
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.events import ReplyToken
from understudy.sources.rehearsal import sample_path

REHEARSALS = "/api/v1/rehearsals"


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Running]:
    """A server without rate limits to speak of."""
    async with running(settings_for(tmp_path, limits__per_address=1e9)) as server:
        yield server


async def create(server: Running, **body: Any) -> dict[str, Any]:
    response = await server.http.post(REHEARSALS, json={"speed": "max", "seed": 1} | body)
    assert response.status_code == 201, response.text
    return response.json()


async def ended(server: Running, rehearsal: str) -> dict[str, Any]:
    """How the rehearsal ended, with its report."""
    async with asyncio.timeout(30):
        while True:
            shown = (await server.http.get(f"{REHEARSALS}/{rehearsal}")).json()
            if shown["state"] not in {"running", "uploading"}:
                return shown
            await asyncio.sleep(0.02)


async def upload(server: Running, recording: bytes, cuts: list[int], **body: Any) -> dict[str, Any]:
    """Upload `recording` cut at `cuts`, play it, and return how it ended."""
    rehearsal = (await create(server, **body))["id"]
    for start, stop in zip([0, *cuts], [*cuts, len(recording)], strict=True):
        piece = recording[start:stop]
        response = await server.http.post(f"{REHEARSALS}/{rehearsal}/lines", content=piece)
        assert response.status_code == 200, response.text
        assert response.json()["state"] == "uploading"
    started = await server.http.post(f"{REHEARSALS}/{rehearsal}/start")
    assert started.status_code == 200, started.text
    return await ended(server, rehearsal)


def recording(*lines: object) -> bytes:
    return b"".join(
        line if isinstance(line, bytes) else msgspec.json.encode(line) + b"\n" for line in lines
    )


def line(number: int, text: str = "@understudy hello", channel: str = "c") -> dict[str, Any]:
    return {"ts": 1_700_000_000 + number, "channel": channel, "user": f"u{number}", "text": text}


async def test_the_sample_plays_to_its_end(patient: Running) -> None:
    started = await create(patient, sample=True)
    assert started["channel"] == "rehearsal"
    assert started["total"] > 100
    done = await ended(patient, started["id"])
    assert done["state"] == "finished"
    assert done["error"] == ""
    assert done["played"] == done["total"] == started["total"]
    report = done["report"]
    assert report["state"] == "finished"
    assert sum(report["events"].values()) == done["played"] - report["bad_line_count"]
    messages = report["events"]["ChatMessage"] + report["events"].get("StreamEvent", 0)
    assert len(report["fates"]) == messages
    assert len({fate["id"] for fate in report["fates"]}) == messages
    assert sum(report["decisions"].values()) == messages
    assert report["replies"]
    assert all(reply["text"].strip() for reply in report["replies"])


async def test_the_same_seed_gives_the_same_report(patient: Running) -> None:
    reports = []
    for seed in (3, 3, 4):
        started = await create(patient, sample=True, seed=seed)
        reports.append((await ended(patient, started["id"]))["report"])
    assert reports[0] == reports[1]
    assert reports[0]["replies"] != reports[2]["replies"]


async def test_a_finished_rehearsal_has_let_go_of_its_channel(patient: Running) -> None:
    """Whoever sees `finished` may play the same channel at once."""
    for _ in range(2):
        started = await create(patient, sample=True, channel="same")
        assert (await ended(patient, started["id"]))["state"] == "finished"
    status = (await patient.http.get("/api/v1/status")).json()
    assert status["channels"] == []
    assert status["storage"]["queued"] == 0


async def test_an_upload_may_be_cut_anywhere(patient: Running) -> None:
    lines = sample_path().read_bytes().splitlines(keepends=True)[:60]
    whole = b"".join(lines)
    rng = random.Random(5)
    expected = (await upload(patient, whole, [], channel="up"))["report"]
    assert expected["fates"]
    for count in (1, 7, 40):
        cuts = sorted(rng.sample(range(1, len(whole)), count))
        assert (await upload(patient, whole, cuts, channel="up"))["report"] == expected


async def test_an_upload_leaves_nothing_behind(patient: Running, tmp_path: Path) -> None:
    await upload(patient, recording(line(1)), [])
    left = (await create(patient))["id"]
    await patient.http.post(f"{REHEARSALS}/{left}/lines", content=b"{")
    assert (await patient.http.delete(f"{REHEARSALS}/{left}")).status_code == 204
    assert (await patient.http.get(f"{REHEARSALS}/{left}")).json()["state"] == "stopped"
    for path in (f"{REHEARSALS}/{left}/lines", f"{REHEARSALS}/{left}/start"):
        assert_problem(await patient.http.post(path), 409)
    assert list((tmp_path / "rehearsals").iterdir()) == []


async def test_bad_lines_are_reported_and_passed_over(patient: Running) -> None:
    data = recording(
        line(1),
        b"not json\n",
        b'{"ts": 1}\n',
        b"\xff\xfe\n",
        b"\n",
        b"[" * 10_000 + b"\n",
        {"ts": "no time", "channel": "c", "user": "u", "text": "x"},
        {"ts": 1, "channel": "c", "user": 5, "text": "x"},
        line(2, text="a \u202e c"),
        line(3),
    )
    report = (await upload(patient, data, []))["report"]
    assert report["events"]["ChatMessage"] == 3
    assert report["bad_line_count"] >= 5
    assert len(report["bad_lines"]) == report["bad_line_count"]
    for bad in report["bad_lines"]:
        assert bad["line"] >= 2
        assert len(bad["reason"].split()) >= 3


async def test_many_bad_lines_are_counted_and_not_all_kept(patient: Running) -> None:
    data = recording(line(1), b"nonsense\n" * 5_000, line(2))
    report = (await upload(patient, data, []))["report"]
    assert report["bad_line_count"] == 5_000
    assert len(report["bad_lines"]) == 100


GARBAGE = {
    "nothing": b"",
    "blank lines": b"\n\n\n",
    "zeros": b"\x00" * 5_000,
    "a picture": b"\xff\xd8\xff\xe0 a picture" * 200,
    "a page": b"<html>" * 100,
    "an empty object": b"{}",
}


async def test_garbage_fails_with_a_sentence(patient: Running) -> None:
    for name, garbage in GARBAGE.items():
        shown = await upload(patient, garbage, [])
        assert shown["state"] == "failed", name
        assert len(shown["error"].split()) >= 4
        assert shown["played"] == 0
        assert shown["report"]["replies"] == []


async def test_a_rehearsal_is_stopped_in_the_middle(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, limits__per_address=1e9, brain__words_per_second=5)
    async with running(settings) as server:
        lines = [line(1), line(60), line(120), line(180)]
        rehearsal = (await create(server, speed=1))["id"]
        path = f"{REHEARSALS}/{rehearsal}"
        await server.http.post(f"{path}/lines", content=recording(*lines))
        started = await server.http.post(f"{path}/start")
        assert started.json()["state"] == "running"
        assert (await server.http.get(path)).json()["report"] is None
        services = server.application.services
        # The first message is being answered, the second is a minute away.
        feed = services.feed.log
        await until(lambda: any(entry.kind is ReplyToken for _, entry in feed.after(0)))
        assert services.channels.names() == ["c"]
        assert (await server.http.delete(path)).status_code == 204
        shown = await ended(server, rehearsal)
        assert shown["state"] == "stopped"
        assert shown["played"] == 1
        assert [reply["status"] for reply in shown["report"]["replies"]] == ["stopped"]
        assert services.channels.names() == []
        # A second stop changes nothing.
        assert (await server.http.delete(path)).status_code == 204
        assert (await server.http.get(path)).json()["state"] == "stopped"


async def test_a_channel_is_played_by_one_rehearsal_at_a_time(patient: Running) -> None:
    first = await create(patient, sample=True, speed=1)
    second = await patient.http.post(REHEARSALS, json={"sample": True, "speed": "max"})
    assert_problem(second, 409, "rehearsal", "stop")
    await patient.http.delete(f"{REHEARSALS}/{first['id']}")
    await ended(patient, first["id"])
    again = await create(patient, sample=True)
    assert (await ended(patient, again["id"]))["state"] == "finished"


async def test_a_started_rehearsal_takes_no_more_lines(patient: Running) -> None:
    rehearsal = (await create(patient, speed=1))["id"]
    path = f"{REHEARSALS}/{rehearsal}"
    await patient.http.post(f"{path}/lines", content=recording(line(1), line(999)))
    assert (await patient.http.post(f"{path}/start")).status_code == 200
    assert_problem(await patient.http.post(f"{path}/lines", content=b"{}"), 409)
    assert_problem(await patient.http.post(f"{path}/start"), 409)
    sample = (await create(patient, sample=True, channel="other"))["id"]
    assert_problem(await patient.http.post(f"{REHEARSALS}/{sample}/lines", content=b"{}"), 409)
    assert_problem(await patient.http.post(f"{REHEARSALS}/{sample}/start"), 409)
    await patient.http.delete(path)


async def test_pieces_are_bounded(patient: Running) -> None:
    path = f"{REHEARSALS}/{(await create(patient))['id']}/lines"
    assert (await patient.http.post(path, content=b"\n" * 1_000_000)).status_code == 200
    assert_problem(await patient.http.post(path, content=b"\n" * 1_100_000), 413)


async def test_old_rehearsals_are_forgotten(patient: Running, tmp_path: Path) -> None:
    first = (await create(patient))["id"]
    kept = [(await create(patient))["id"] for _ in range(20)]
    assert_problem(await patient.http.get(f"{REHEARSALS}/{first}"), 404)
    assert (await patient.http.get(f"{REHEARSALS}/{kept[0]}")).status_code == 200
    assert len(list((tmp_path / "rehearsals").iterdir())) == 20


async def test_a_rehearsal_ends_with_the_server(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        started = await create(server, sample=True, speed=1)
        services = server.application.services
        await until(lambda: bool(services.channels.names()))
        server.process.should_exit = True
        async with asyncio.timeout(10):
            await server.serving
        rehearsal = services.rehearsals.get(started["id"])
        assert rehearsal is not None
        assert rehearsal.state == "stopped"
