import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert, text

from tests.learning.building import NOW, Place
from tests.learning.logged import HOUR, START, exchange, log, said, sentence, stream
from understudy.events import ChatMessage, Moderation
from understudy.learning.datasets.errors import DatasetError
from understudy.learning.datasets.splits import conversation_of, split_of
from understudy.learning.datasets.store import Datasets
from understudy.learning.redacted import ExchangeRedactor
from understudy.storage.evidence import viewer_hash
from understudy.storage.examples import Examples
from understudy.storage.rows import ChatRow, ModerationRow
from understudy.storage.tables import erasure


def run(number: int) -> str:
    return f"run_{number:05}"


def sides(count: int) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"train": set(), "val": set()}
    for row in stream(count):
        found[split_of(conversation_of(row))].add(row.id)
    return found


async def test_a_first_dataset(place: Place) -> None:
    await log(place.database, *stream(300))
    manifest = await place.build(channel="alice", seed=3)
    assert place.ids(manifest) == sides(300)["train"]
    assert place.ids(manifest, "val") == sides(300)["val"]
    train = place.rows(manifest)
    anchors = [row for row in train if row["meta"]["anchor"]]
    assert len(anchors) == manifest.rows.anchor == round(len(sides(300)["train"]) / 0.7 * 0.05)
    assert place.rows(manifest, "anchor")[0]["meta"]["split"] == "anchor"
    (row,) = [row for row in train if row["meta"]["id"] == "run_00007"]
    assert row == {
        "prompt": row["messages"][1]["content"],
        "response": sentence(-8, 12),
        "messages": [
            {"role": "system", "content": "You are kind."},
            {"role": "user", "content": f"{row['prompt'].partition(':')[0]}: {sentence(7, 6)}"},
        ],
        "meta": {
            "id": "run_00007",
            "ts": START + 7 * HOUR,
            "channel": "alice",
            "persona": "default",
            "weight": 1.0,
            "split": "train",
            "session": row["meta"]["session"],
            "group": row["meta"]["group"],
            "old": False,
            "anchor": False,
        },
    }
    assert row["prompt"].startswith("viewer_")
    assert [r["meta"]["id"] for r in train] != sorted(r["meta"]["id"] for r in train)
    assert (manifest.parent, manifest.looked_at, manifest.report) == ("", 300, {})
    assert manifest.counts["train.jsonl"] == len(train)
    assert place.datasets.load(manifest.id) == manifest


async def test_the_same_log_and_request_give_the_same_files(place: Place, tmp_path: Path) -> None:
    await log(place.database, *stream(120), said(3, "thumb"), said(4, "thumb", -1))
    first = await place.build(seed=5)
    place.datasets = Datasets(tmp_path / "elsewhere")
    assert (await place.build(seed=5)).sha256 == first.sha256
    place.datasets = Datasets(tmp_path / "third")
    assert (await place.build(seed=6)).sha256 != first.sha256


async def test_what_is_left_out_is_counted_by_reason(place: Place) -> None:
    odd = {
        "bot": {"user": "nightbot"},
        "command": {"prompt_text": "!song"},
        "incomplete": {"status": "stopped"},
        "empty": {"response": " "},
        "raid": {"events": "raid"},
    }
    rows = [
        msgspec.structs.replace(exchange(100 + n, sentence(n, 5), sentence(n + 50, 9)), **changes)
        for n, changes in enumerate(odd.values())
    ]
    await log(place.database, *stream(60), *rows, said(5, "safety", -1), said(6, "thumb", -1))
    manifest = await place.build()
    reasons = {**dict.fromkeys(odd, 1), "marked_unsafe": 1, "disliked": 1}
    assert manifest.report == dict(sorted(reasons.items()))
    known = place.ids(manifest) | place.ids(manifest, "val")
    assert known == {row.id for row in stream(60)} - {run(5), run(6)}


async def test_only_one_of_near_duplicates_is_learned(place: Place) -> None:
    text, reply = "what is this song please", "It is the harbour theme and I hum it all day long"
    same = [exchange(n, text, f"{reply}{'!' * (n % 3)}") for n in range(60)]
    await log(place.database, *same)
    manifest = await place.build()
    # All are of the first one's group, and so on its side.
    assert len(place.ids(manifest) | place.ids(manifest, "val")) == 1
    assert manifest.report["duplicate"] + manifest.report["other_side"] == 59


async def test_a_later_copy_of_a_held_out_row_never_enters(place: Place) -> None:
    count = 100
    await log(place.database, *stream(count))
    first = await place.build()
    held_out = sorted(place.ids(first, "val"))
    copies = [
        exchange(1_000 + n, sentence(number, 6), sentence(-number - 1, 12))
        for n, number in enumerate(int(id.removeprefix("run_")) for id in held_out)
    ]
    fresh = stream(40, first=500)
    await log(place.database, *copies, *fresh)
    second = await place.build()
    assert not place.ids(second) & {row.id for row in copies}
    assert place.ids(second, "old") >= set(held_out)
    assert len(place.ids(second) & {row.id for row in fresh}) > 20


async def test_old_rows_come_back_beside_new_ones(place: Place) -> None:
    await log(place.database, *stream(200))
    first = await place.build(channel="alice")
    await log(place.database, *stream(90, first=300))
    second = await place.build(channel="alice", replay=0.5)
    assert second.parent == first.id
    train = place.rows(second)
    old = {row["meta"]["id"] for row in train if row["meta"]["old"]}
    assert old <= place.ids(first)
    assert abs(len(old) / len(train) - 0.5) < 0.02
    assert place.ids(second) - old == place.ids(second) & {r.id for r in stream(90, first=300)}
    assert place.ids(second, "old") == place.ids(first, "val")
    assert not place.ids(second, "val") & place.ids(first, "val")
    third_rows = stream(30, first=700)
    await log(place.database, *third_rows)
    third = await place.build(channel="alice")
    # What the second did not replay is known to be old by the first.
    assert third.rows.old_known == len(place.ids(first) | place.ids(second))


async def test_nothing_new_is_a_sentence(place: Place) -> None:
    with pytest.raises(DatasetError, match="nothing was said there yet"):
        await place.build()
    await log(place.database, *stream(50))
    await place.build()
    with pytest.raises(DatasetError, match="nothing new to train on in 50 experiences"):
        await place.build()
    assert len(place.datasets.manifests()) == 1
    left = [path.name for path in place.datasets.folder.iterdir()]
    assert not [name for name in left if name.startswith(".draft")]


async def test_a_correction_replaces_the_reply_and_its_copies(place: Place) -> None:
    numbers = [n for n in range(60) if run(n) in sides(60)["train"]][:2]
    one, copy = numbers
    same = exchange(copy, sentence(one, 6), sentence(-one - 1, 12))
    rows = [row for row in stream(60) if row.id != same.id]
    await log(place.database, *rows, same)
    first = await place.build()
    await log(
        place.database,
        said(one, "edit", text="The better reply, alice99 says", ts=NOW + 5_000),
        said(one, "thumb", -1),
    )
    second = await place.build()
    assert second.parent == first.id
    (new,) = [r for r in place.rows(second) if not (r["meta"]["old"] or r["meta"]["anchor"])]
    assert (new["meta"]["id"], new["response"]) == (run(one), "The better reply, alice99 says")
    assert new["meta"]["weight"] == 3.0
    assert same.id not in place.ids(second)
    assert second.report["corrected"] == 1
    (pair,) = place.rows(second, "pairs")
    assert (pair["chosen"], pair["rejected"]) == (new["response"], sentence(-one - 1, 12))
    (thumb,) = place.rows(second, "kto")
    assert (thumb["label"], thumb["response"]) == (False, sentence(-one - 1, 12))
    assert second.warnings[-1].startswith("all thumbs are down")


async def test_thumbs_and_rankings_are_of_the_training_side_only(place: Place) -> None:
    ranking = msgspec.json.encode(["best", "good", "bad"]).decode()
    judged = [said(n, "thumb", 1 if n % 2 else -1) for n in range(100)]
    await log(place.database, *stream(100), *judged, said(3, "rank", text=ranking))
    manifest = await place.build()
    assert place.ids(manifest, "kto") <= sides(100)["train"]
    labels = Counter(row["label"] for row in place.rows(manifest, "kto"))
    assert labels[True] > 30
    assert labels[False] > 30
    pairs = [(row["chosen"], row["rejected"]) for row in place.rows(manifest, "pairs")]
    assert pairs == ([("best", "good"), ("best", "bad")] if run(3) in sides(100)["train"] else [])
    assert {row["meta"]["weight"] for row in place.rows(manifest)} == {1.0, 2.0}


async def test_one_loud_viewer_has_a_tenth_at_most(place: Place) -> None:
    loud = [
        exchange(1_000 + n, sentence(9_000 + n, 6), sentence(7_000 + n, 12), user="loud")
        for n in range(200)
    ]
    await log(place.database, *stream(200), *loud)
    manifest = await place.build()
    share = len(place.ids(manifest) & {row.id for row in loud}) / manifest.rows.new
    assert 0.09 < share <= 0.1
    assert manifest.report["viewer_share"] > 150
    assert manifest.viewer_share.viewers == 41


async def test_forgotten_and_removed_people_are_absent(place: Place) -> None:
    async with place.database.write() as connection:
        tombstone = {"viewer_hash": viewer_hash("viewer3"), "channel": "", "ts": 1}
        await connection.execute(insert(erasure).values(tombstone))
    acts = [
        ("d", "delete", {"message_id": "m1"}, START),
        ("b", "ban", {"user": "viewer5"}, START + 1_000 * HOUR),
    ]
    await log(
        place.database,
        *stream(80),
        exchange(90, sentence(1_000, 6), sentence(1_001, 12), in_reply_to="m1", user="kim"),
        ChatRow(ChatMessage(id="m1", channel="alice", ts=START, user="kim", text="x")),
        *(
            ModerationRow(Moderation(id=id, channel="alice", ts=ts, kind=kind, **more))  # type: ignore[arg-type]
            for id, kind, more, ts in acts
        ),
    )
    manifest = await place.build()
    assert manifest.report == {"erased": 2, "removed": 3}
    assert run(90) not in place.ids(manifest) | place.ids(manifest, "val")


async def test_a_channel_under_attack_does_not_teach(place: Place) -> None:
    bans = [
        ModerationRow(
            Moderation(
                id=f"b{n}", channel="alice", ts=START + 5 * HOUR + n, kind="ban", user=f"x{n}"
            )
        )
        for n in range(8)
    ]
    await log(place.database, *stream(50), *bans)
    assert (await place.build()).report == {"attack": 1}


async def test_what_a_person_decided_counts(place: Place) -> None:
    await log(place.database, *stream(50), exchange(60, sentence(800, 5), "ok", events="raid"))
    first = await place.build()
    examples = Examples(place.database)
    assert await examples.judge([run(7)], "rejected", "not funny") == 1
    assert await examples.judge(["run_nobody"], "approved") == 0
    await log(place.database, *stream(20, first=100))
    second = await place.build()
    assert second.report == {"raid": 1, "rejected": 1}
    assert run(7) not in place.ids(second) | place.ids(second, "old")
    assert run(7) in place.ids(first) | place.ids(first, "val")


async def test_a_row_in_which_a_second_pass_finds_something_is_left_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log(place.database, *stream(50))
    name = sentence(-8, 12)
    redacted = ExchangeRedactor.text

    def careless(self: ExchangeRedactor, said: str, channel: str) -> str:
        return f"{said} kim@example.com" if said == name else redacted(self, said, channel)

    monkeypatch.setattr(ExchangeRedactor, "text", careless)
    manifest = await place.build()
    assert manifest.report == {"redaction": 1}
    for name in ("train", "val"):
        assert "example.com" not in json.dumps(place.rows(manifest, name))


async def test_persona_channel_and_since_choose(place: Place) -> None:
    other = exchange(200, sentence(500, 5), "Bob's.", channel="bob", session="channel_bob")
    calm = exchange(201, sentence(501, 5), "Calm.", persona="calm_coach")
    await log(place.database, *stream(50), other, calm)
    since = START + 25 * HOUR
    manifest = await place.build(channel="alice", persona="default", since=since)
    known = place.ids(manifest) | place.ids(manifest, "val")
    assert known == {row.id for row in stream(50)[25:]}
    assert manifest.looked_at == 25
    assert (await place.build()).parent == ""
    assert (await place.build(channel="alice")).looked_at == 51


async def test_own_anchors_replace_shipped_ones_and_bad_ones_stop_the_build(place: Place) -> None:
    await log(place.database, *stream(300))
    place.anchors.parent.mkdir()
    own = {"id": "greeting-01", "prompt": "moin", "response": "Moin moin, schön dass du da bist!"}
    place.anchors.write_text(json.dumps(own) + "\n")
    manifest = await place.build(anchor=0.5)
    rows = place.rows(manifest) + place.rows(manifest, "anchor")
    greetings = [r["response"] for r in rows if r["meta"]["id"] == "anchor:greeting-01"]
    assert greetings == [own["response"]]
    place.anchors.write_text("{}")
    with pytest.raises(DatasetError, match=r"anchors\.jsonl, line 1 has no id"):
        await place.build()


@pytest.mark.parametrize("replay", [-0.1, 0.95, 1.0])
async def test_a_share_of_replay_that_cannot_be(place: Place, replay: float) -> None:
    with pytest.raises(DatasetError, match="leaves no room for new rows"):
        await place.build(replay=replay)


async def test_two_builds_at_a_time_are_refused(place: Place) -> None:
    await log(place.database, *stream(20))
    with place.datasets.building(), pytest.raises(DatasetError, match="another dataset is being"):
        await place.build()
    await place.build()


async def test_a_changed_parent_stops_the_build_and_a_deleted_one_is_forgotten(
    place: Place,
) -> None:
    await log(place.database, *stream(30))
    first = await place.build()
    path = place.datasets.folder / first.id / "train.jsonl"
    path.chmod(0o600)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"alice", b"malice", 1))
    with pytest.raises(DatasetError, match=r"train\.jsonl of dataset \S+ was changed"):
        await place.build()
    path.write_bytes(whole)
    await log(place.database, *stream(30, first=50))
    second = await place.build()
    for file in sorted((place.datasets.folder / first.id).iterdir()):
        file.unlink()
    (place.datasets.folder / first.id).rmdir()
    third = await place.build()
    assert third.parent == second.id
    assert third.rows.new > 0


async def test_examples_are_kept_for_ever(place: Place) -> None:
    await log(place.database, *stream(40))
    await place.build()
    async with place.database.read() as connection:
        before = (await connection.execute(text("SELECT * FROM example ORDER BY id"))).all()
    await log(place.database, *stream(10, first=70))
    await place.build()
    async with place.database.read() as connection:
        after = (await connection.execute(text("SELECT * FROM example ORDER BY id"))).all()
    assert set(before) < set(after)
