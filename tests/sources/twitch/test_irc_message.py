"""One line of IRC: the grammar, against vectors of other projects and against anything at all."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tests.shared_data import shared_data
from understudy.sources.twitch.irc_message import IrcMessage, MalformedLine, parse, unescape


def test_splits_messages_as_the_irc_specification_does() -> None:
    file = shared_data("twitch/ircdocs-parser-tests/msg-split.yaml")
    cases = yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
    assert len(cases) == 35
    for case in cases:
        atoms = case["atoms"]
        expected = IrcMessage(
            atoms.get("tags") or {}, atoms.get("source", ""), atoms["verb"], atoms.get("params", [])
        )
        assert parse(case["input"]) == expected


MALFORMED = {"@key=value", "@key=value :tmi.twitch.tv", ""} | {
    " @key=value :tmi.twitch.tv PING",
    "@key=value :tmi.twitch.tv ",
    "@key=value :tmi.twitch.tv P!NG",
    "@key=value :tmi.twitch.tv PØNG",
}


def rust_lines() -> list[dict[str, Any]]:
    file = shared_data("twitch/twitch-irc-rs/lines.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_reads_the_lines_of_another_client_and_refuses_its_bad_ones() -> None:
    lines = rust_lines()
    assert len(lines) == 86
    for case in lines:
        line = case["line"]
        if line in MALFORMED or "\n" in line or "\r" in line or "\0" in line:
            with pytest.raises(MalformedLine):
                parse(line)
        else:
            assert parse(line).command.isalnum()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("PING", IrcMessage({}, "", "PING", [])),
        ("@a;b=;=c;d=e=f X", IrcMessage({"a": "", "b": "", "d": "e=f"}, "", "X", [])),
        ("@=c X", IrcMessage({}, "", "X", [])),
        ("@a=1;a=2 X", IrcMessage({"a": "2"}, "", "X", [])),
        (r"@a=\:\s\\\r\n\q\ X", IrcMessage({"a": "; \\\r\nq"}, "", "X", [])),
        (":a!b@c X y\u3000z \u2028", IrcMessage({}, "a!b@c", "X", ["y\u3000z", "\u2028"])),
        (":n X  #c   : two  blanks ", IrcMessage({}, "n", "X", ["#c", " two  blanks "])),
    ],
)
def test_reads_odd_lines(line: str, expected: IrcMessage) -> None:
    assert parse(line) == expected


def test_reads_tags_of_any_size() -> None:
    tags = {f"tag-{number}": "x" * 80 for number in range(200)}
    line = "@" + ";".join(f"{name}={value}" for name, value in tags.items()) + " :s PRIVMSG #c :hi"
    assert len(line) > 16_000
    assert parse(line).tags == tags


@given(st.text(max_size=200))
@example("@")
@example(" :")
@example("@\\=\\ :x")
def test_anything_is_a_message_or_malformed(line: str) -> None:
    try:
        message = parse(line)
    except MalformedLine:
        return
    assert message.command in line
    assert all(param in line for param in message.params)


WORDS = st.text(st.characters(exclude_characters=" \r\n\0", exclude_categories=["Cs"]), min_size=1)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
MIDDLES = WORDS.filter(lambda word: not word.startswith(":"))
TEXTS = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))


def escape(value: str) -> str:
    for plain, escaped in {"\\": "\\\\", ";": "\\:", " ": "\\s", "\r": "\\r", "\n": "\\n"}.items():
        value = value.replace(plain, escaped)
    return value


@given(
    st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]))),
    st.one_of(st.just(""), WORDS),
    st.from_regex(r"[A-Z]+|[0-9]{3}", fullmatch=True),
    st.lists(MIDDLES, max_size=4),
    st.one_of(st.none(), TEXTS),
)
def test_what_was_written_is_read(
    tags: dict[str, str], source: str, command: str, middles: list[str], trailing: str | None
) -> None:
    parts = ["@" + ";".join(f"{name}={escape(value)}" for name, value in tags.items())]
    parts = parts if tags else []
    parts += [f":{source}"] if source else []
    parts += [command, *middles]
    parts += [f":{trailing}"] if trailing is not None else []
    expected = [*middles, trailing] if trailing is not None else middles
    assert parse(" ".join(parts)) == IrcMessage(tags, source, command, expected)


@given(st.text())
def test_unescaping_undoes_escaping(value: str) -> None:
    assert unescape(escape(value)) == value
