import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from understudy.safety.patterns import DETECTORS, KINDS, suspicious
from understudy.safety.pii import Finding, Redactor

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data" / "pii_cases.jsonl")
    .read_text("utf-8")
    .splitlines()
]
PLANTED = [case for case in CASES if case["kinds"]]
HARMLESS = [case["text"] for case in CASES if not case["kinds"]]

ROSTER = [
    ("bob_smith", "Bob_Smith"),
    ("kim", "김철수"),
    ("the", "The"),
    ("game", "GaMe"),
    ("dude", "The Dude"),
    ("viewer_1", "viewer_1"),
    ("q", "Q"),
    ("12345", "12345"),
    ("ivan", "Иван"),
]

fragments = st.sampled_from(
    [case["text"] for case in CASES]
    + [name for chatter in ROSTER for name in chatter]
    + ["@", "_", " at ", " dot com", ".", "-", " ", "/", "://", "[email]", "[", "]", "viewer_1"]
    + ["viewer_", "[streamer]", "bearer ", "sk-", "call ", "+49 ", "1", "0171 ", "#1234", "'s"]
)
texts = st.lists(st.one_of(fragments, st.text(max_size=6)), max_size=6).map("".join)


HOSTILE = [
    *("a", "1", "1 ", "a.", "@", "a at ", ":", "1.", "0x", "-1", "aA1", "[", "é ", "12 oak "),
    *("4-", "+49 ", "x at y dot ", "http://", "a@b.", "A b ", "token=", "김", "bob_", "sk-"),
]


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in Redactor().redact(text).findings]


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: case["text"])
def test_planted_personal_data_is_replaced(case: dict) -> None:
    redacted = Redactor().redact(case["text"])
    assert [finding.kind for finding in redacted.findings] == case["kinds"]
    for secret in case["must_not_contain"]:
        assert secret not in redacted.text
    for kind in case["kinds"]:
        assert f"[{kind}]" in redacted.text


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays(text: str) -> None:
    assert Redactor().redact(text).text == text


def test_the_cases_cover_every_kind_and_both_sides() -> None:
    assert {kind for case in PLANTED for kind in case["kinds"]} == set(KINDS)
    assert len(PLANTED) >= 30
    assert len(HARMLESS) >= 25


def test_findings_point_into_the_original_text() -> None:
    text = "hey bob_smith, jane@example.com or 4111 1111 1111 1111"
    found = Redactor(ROSTER).redact(text).findings
    assert [(f.kind, text[f.start : f.end]) for f in found] == [
        ("name", "bob_smith"),
        ("email", "jane@example.com"),
        ("card", "4111 1111 1111 1111"),
    ]
    assert found[0] == Finding("name", 4, 13)


def test_a_clean_text_comes_back_as_the_same_object() -> None:
    text = "that last boss fight was so close, what a clutch at the end"
    assert Redactor(ROSTER).redact(text).text is text


@settings(max_examples=400, deadline=None)
@given(texts)
@example("xx김철수bob_smith")
@example("김철수5 Main Street")
@example("bearer bob_smith-bob_smith-x")
@example("viewer_1@example.com")
@example("김철수23")
def test_redacted_text_needs_no_second_pass(text: str) -> None:
    redactor = Redactor(ROSTER)
    once = redactor.redact(text, streamer="dude")
    twice = redactor.redact(once.text, streamer="dude")
    assert twice.findings == []
    assert twice.text == once.text


@settings(max_examples=300, deadline=None)
@given(texts)
def test_redaction_is_deterministic_and_findings_are_in_order(text: str) -> None:
    first, second = Redactor(ROSTER).redact(text), Redactor(ROSTER).redact(text)
    assert first == second
    ends = [0, *(finding.end for finding in first.findings)]
    assert all(end <= f.start < f.end for end, f in zip(ends, first.findings, strict=False))


@settings(max_examples=400, deadline=None)
@given(st.one_of(texts, st.text(max_size=80)))
def test_the_quick_look_never_misses(text: str) -> None:
    if not suspicious(text):
        assert not [kind for kind, detect in DETECTORS if list(detect(text))]


def test_a_number_after_a_name_does_not_become_part_of_the_pseudonym() -> None:
    assert Redactor(ROSTER).redact("김철수23").text == "viewer_2 23"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("4111 1111 1111 1112", "card"),
        ("0000 0000 0000 0000", "card"),
        ("DE88 3704 0044 0532 0130 00", "iban"),
        ("XX89 3704 0044 0532 0130 00", "iban"),
        ("256.1.1.1", "ip"),
        ("12::34::56", "ip"),
        ("1:2:3", "ip"),
        ("666-12-3456", "ssn"),
        ("+10000000000", "phone"),
    ],
)
def test_what_fails_its_check_is_not_found(text: str, kind: str) -> None:
    assert kind not in kinds(text)


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_hostile_text_is_dealt_with_in_linear_time(piece: str) -> None:
    redactor = Redactor(ROSTER)
    once = redactor.redact(piece * (20_000 // len(piece))).text
    assert redactor.redact(once).findings == []
