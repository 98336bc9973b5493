from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest, Text, Usage
from understudy.engine.analysis import read_analysis
from understudy.engine.commands import (
    COMMANDS,
    SUMMARY_TOKENS,
    Command,
    CommandError,
    Commands,
    parse,
    plain_message,
)
from understudy.engine.sessions import SessionManager
from understudy.storage.contexts import Contexts
from understudy.storage.engine import Database
from understudy.storage.sessions import SessionMessage, Sessions


@pytest.mark.parametrize("text", ["hello", "", "  ", "//help", "  //x", "a /help", "1/2"])
def test_an_ordinary_message_is_no_command(text: str) -> None:
    assert parse(text) is None


def test_a_doubled_slash_begins_a_message_with_a_slash() -> None:
    assert plain_message("//help me") == "/help me"
    assert plain_message(" hello //x") == " hello //x"


TEXT = 'text="…"'


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("/help", "help", {}),
        ("  /HELP  ", "help", {}),
        ('/analyze text="I love it"', "analyze", {"text": "I love it"}),
        (r'/analyze text="say \"hi\" \\ a\nb\tc"', "analyze", {"text": 'say "hi" \\ a\nb\tc'}),
        (r"/analyze text='it\'s'", "analyze", {"text": "it's"}),
        (r'/analyze text="a\db"', "analyze", {"text": r"a\db"}),
        ("/analyze text=word", "analyze", {"text": "word"}),
        ("/analyze TEXT = 'a = b'", "analyze", {"text": "a = b"}),
        ("/analyze text=\u201cphone quotes\u201d", "analyze", {"text": "phone quotes"}),
        ("/analyze I love it, really", "analyze", {"text": "I love it, really"}),
        ("/setcontext you=me is a riddle: x=y", None, {}),
        ("/setcontext You know x=y", "setcontext", {"text": "You know x=y"}),
        ('/setcontext "You are kind."', "setcontext", {"text": "You are kind."}),
        ('/setcontext "You" are "kind"', "setcontext", {"text": '"You" are "kind"'}),
        ("/setcontext 'tis the season", "setcontext", {"text": "'tis the season"}),
        ('/setcontext "A" is a letter', "setcontext", {"text": '"A" is a letter'}),
        (
            '/translate target_language=German\ntext="Hello, \nyou"',
            "translate",
            {"text": "Hello, \nyou", "target_language": "German"},
        ),
    ],
)
def test_commands_are_understood(text: str, name: str | None, arguments: dict[str, str]) -> None:
    if name is None:
        with pytest.raises(CommandError):
            parse(text)
    else:
        assert parse(text) == Command(name, arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/", "name is missing after the slash: /help shows them all"),
        ("/ help", "name is missing after the slash"),
        ("/sumarize", "there is no command /sumarize: did you mean /summarize?"),
        ("/usr/bin/python", "say it as a message"),
        ("/xyzzy", "/xyzzy: /help shows them all"),
        ("/analyze", f"/analyze: text is missing; write /analyze {TEXT}"),
        ('/analyze text=""', "text is empty"),
        ("/analyze text=", "text is empty"),
        ('/analyze text="abc', 'the quote opened at character 15 is not closed: add "'),
        ('/analyze text="abc\\', "the quote opened at character 15 is not closed"),
        ('/analyze "abc', "the quote opened at character 10 is not closed"),
        ('/analyze text="a"b', "a space is missing after the quote that ends at character 17"),
        ('/analyze text="a" text="b"', "text is given twice"),
        ('/analyze txet="a"', "it has no argument 'txet'"),
        ('/analyze text="a" more', "'more' at character 19 is not expected"),
        ("/translate Hello", "'Hello' at character 12 is not expected"),
        ('/translate text="a"', "target_language is missing"),
        ('/translate text="a"', f'write /translate {TEXT} target_language="…"'),
        ("/clear now", "/clear: 'now' at character 8 is not expected; write /clear, without"),
    ],
)
def test_a_mistake_is_named_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(min_size=1).filter(lambda text: bool(text.strip())))
def test_any_text_survives_quoting(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'/analyze text="{escaped}"') == Command("analyze", {"text": text})


@given(st.text(st.sampled_from("/helptxn anyz=\"'\\ \n"), max_size=60))
def test_only_text_behind_a_single_slash_is_ever_refused(text: str) -> None:
    slashes = text.strip()[:2]
    meant_as_command = slashes.startswith("/") and slashes != "//"
    try:
        found = parse(text) is not None
    except CommandError:
        found = True
    assert found == meant_as_command


class Parrot(Brain):
    """Answers every request with `answer`, or breaks; remembers what it was asked."""

    name = "parrot"
    model = "parrot"

    def __init__(self) -> None:
        self.answer = "fine"
        self.error: BrainError | None = None
        self.requests: list[BrainRequest] = []

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        for character in self.answer:
            yield Text(character)
        yield Usage(1, 1)

    def describe(self) -> str:
        return "a parrot"


class Service:
    """Commands over a real database, with a client to run them for."""

    def __init__(self, database: Database) -> None:
        self.brain = Parrot()
        self.sessions = SessionManager(Sessions(database))
        self.contexts = Contexts(database)
        self.commands = Commands(
            self.sessions,
            self.contexts,
            self.brain,
            output_filter=lambda text: text.replace("darn", "****"),
        )
        self.session = ""

    async def run(self, text: str) -> dict[str, Any]:
        command = parse(text)
        assert command is not None
        return await self.commands.run(command, session=self.session, client="c", user="ana")

    def say(self, number: int, role: Any, text: str) -> None:
        message = SessionMessage(id=f"m{number}", ts=number, role=role, user="ana", text=text)
        self.sessions.remember(self.session, message)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'understudy.db'}")
    made = Service(database)
    made.session = (await made.sessions.start("ana", "default")).id
    yield made
    await database.close()


async def test_help_lists_every_command(service: Service) -> None:
    result = await service.run("/help")
    assert result["status"] == "success"
    assert [entry["name"] for entry in result["commands"]] == [spec.name for spec in COMMANDS]
    assert result["commands"][4]["usage"] == f'/translate {TEXT} target_language="…"'


async def test_context_is_set_shown_and_cleared(service: Service) -> None:
    assert (await service.run("/getcontext"))["context"] == ""
    set_result = await service.run('/setcontext text="You are a pirate."')
    assert set_result["status"] == "success"
    assert await service.contexts.get("c") == "You are a pirate."
    assert await service.run("/getcontext") == {
        "status": "success",
        "context": "You are a pirate.",
    }
    assert (await service.run("/clearcontext"))["message"] == "Context cleared."
    assert await service.contexts.get("c") is None


async def test_clear_forgets_the_conversation(service: Service) -> None:
    service.say(1, "user", "Hi")
    result = await service.run("/clear")
    assert result == {"status": "success", "message": "Conversation history cleared."}
    assert await service.sessions.history(service.session) == []


async def test_summarize_gives_the_conversation_to_the_brain(service: Service) -> None:
    service.say(1, "user", "Hi")
    service.say(2, "assistant", "Hello!")
    service.say(3, "assistant", "")
    service.brain.answer = " [happy] They greeted each other, darn it. "
    assert await service.run("/summarize") == {
        "status": "success",
        "summary": "They greeted each other, **** it.",
    }
    request = service.brain.requests[0]
    assert request.task == "summarize"
    assert [message.content for message in request.messages][:2] == ["Hi", "Hello!"]
    assert request.messages[-1].role == "user"
    assert request.text == "user: Hi\nassistant: Hello!"
    assert request.key == service.session


async def test_a_long_conversation_is_summarized_from_its_end(service: Service) -> None:
    for number in range(4):
        service.say(number, "user", f"{number} " + "word " * (SUMMARY_TOKENS // 2))
    await service.run("/summarize")
    kept = [message.content[0] for message in service.brain.requests[0].messages]
    assert kept == ["3", "S"]


async def test_an_empty_conversation_is_not_summarized(service: Service) -> None:
    result = await service.run("/summarize")
    assert result["status"] == "success"
    assert result["summary"] == ""
    assert service.brain.requests == []


async def test_translate_says_into_which_language(service: Service) -> None:
    service.brain.answer = "Hallo [1]"
    result = await service.run('/translate text="Hello [1]" target_language="German"')
    assert result == {"status": "success", "translation": "Hallo [1]", "target_language": "German"}
    request = service.brain.requests[0]
    assert "into German" in request.system_prompt
    assert request.text == "Hello [1]"
    assert request.arguments == {"text": "Hello [1]", "target_language": "German"}


async def test_analyze_gives_sentiment_and_key_points(service: Service) -> None:
    service.brain.answer = '{"sentiment": "Positive", "key_points": ["darn good", ""]}'
    result = await service.run("/analyze I love it")
    assert result == {
        "status": "success",
        "analysis": {"sentiment": "positive", "key_points": ["**** good"]},
    }


async def test_a_brain_that_fails_makes_an_error_result(service: Service) -> None:
    service.brain.error = BrainError("the model is away: try again", retryable=True)
    result = await service.run("/analyze I love it")
    assert result == {"status": "error", "message": "the model is away: try again"}


@pytest.mark.parametrize(
    ("answer", "sentiment", "key_points"),
    [
        ('{"sentiment":"mixed","key_points":["a","b"]}', "mixed", ["a", "b"]),
        ('Sure:\n```json\n{"sentiment":"negative","key_points":[]}\n```', "negative", []),
        ('{"sentiment":"joyful","key_points":["a"]}', "neutral", ["a"]),
        ('{"sentiment":"positive","key_points":"a"}', "positive", None),
        (
            "Positive overall.\n- likes it\n* fast\n1. cheap",
            "positive",
            ["likes it", "fast", "cheap"],
        ),
        ("It is good. It is fast, too.", "neutral", ["It is good.", "It is fast, too."]),
        ("- x\n" * 9, "neutral", ["x"] * 5),
        ("} {", "neutral", ["} {"]),
        ("", "neutral", []),
    ],
)
def test_an_analysis_is_read_from_json_or_prose(
    answer: str, sentiment: str, key_points: list[str] | None
) -> None:
    found, points = read_analysis(answer)
    assert found == sentiment
    if key_points is not None:
        assert points == key_points
