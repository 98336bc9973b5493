"""`understudy chat`: a terminal client that streams."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

import msgspec
import typer

from understudy.cli.client import Client, Frame
from understudy.cli.terminal import (
    DEFAULT_URL,
    CommandFailed,
    JsonOption,
    TokenOption,
    check_url,
    fail,
    forgive,
)

_HELP = """\
Enter sends · Ctrl-C stops a reply · Ctrl-D or /quit leaves
/help  shows this · /new  starts afresh · //text  sends text that begins with a slash"""
# What a reply must not do to a terminal: everything but tabs and line breaks.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def chat(
    url: str = typer.Option(
        None,
        "--url",
        help="Address of a running server.",
        callback=check_url,
        show_default=DEFAULT_URL,
    ),
    persona: str = typer.Option(None, help="Whom to talk to.", show_default="default"),
    session: str = typer.Option(None, help="Go on with this session, named when it began."),
    token: str = TokenOption,
    as_json: bool = JsonOption,
) -> None:
    """Talk to the co-host; replies stream in, Ctrl-C stops one. Reads lines from a pipe too.

    Example: echo "what is this song?" | understudy chat --persona calm_coach
    """
    at_terminal = sys.stdin.isatty()
    forgive(sys.stdin)
    with Client(url or DEFAULT_URL, token) as client:
        talk = Talk(client, persona, session, as_json=as_json)
        if at_terminal and not as_json:
            _prepare_line_editing()
            typer.secho(f"session {talk.session} · {_HELP}", dim=True)
        for line in _lines(at_terminal, "" if as_json else "you > "):
            try:
                talk.say(line)
            except CommandFailed as error:
                if not at_terminal:
                    raise
                fail(str(error))
            except KeyboardInterrupt:
                if not at_terminal:
                    raise


class Talk:
    """A conversation: sends lines, shows replies, and understands the client's own commands."""

    def __init__(
        self, client: Client, persona: str | None, session: str | None, *, as_json: bool = False
    ) -> None:
        self._client = client
        self._persona = persona
        self._as_json = as_json
        self.session = client.start(persona, session)

    def say(self, line: str) -> None:
        """Act on one line; Ctrl-C stops the reply. Raises `CommandFailed`."""
        command = line.strip()
        if command == "/help":
            typer.echo(_HELP)
        elif command == "/new":
            self.session = self._client.start(self._persona, None)
            typer.echo(f"session {self.session}")
        elif command.startswith("//"):
            self._answer(command[1:])
        elif command.startswith("/"):
            raise CommandFailed(f"{command.split()[0]} is no command here: /help lists them")
        else:
            self._answer(line)

    def _answer(self, message: str) -> None:
        said: list[Frame] = []
        frames = self._client.stream(self.session, message)
        end = "\n"
        try:
            for frame in frames:
                if frame.error:
                    raise CommandFailed(frame.error)
                said.append(frame)
                self._show(frame.token)
        except KeyboardInterrupt:
            end = " …\n"
            raise
        finally:
            frames.close()
            self._show(end)
            if self._as_json and said:
                self._print_json(said)

    def _show(self, text: str) -> None:
        if not self._as_json:
            typer.echo(text.translate(_CONTROLS), nl=False)

    def _print_json(self, said: list[Frame]) -> None:
        answer = {
            "session_id": self.session,
            "reply": "".join(frame.token for frame in said),
            "message_id": said[-1].message_id,
        }
        typer.echo(msgspec.json.encode(answer).decode())


def _prepare_line_editing() -> None:
    """Arrow keys and history; without it a terminal also cuts lines at 4,096 bytes."""
    with suppress(ImportError):
        import_module("readline")


def _lines(at_terminal: bool, prompt: str) -> Iterator[str]:
    while True:
        try:
            line = input(prompt if at_terminal else "")
        except EOFError:
            return
        except KeyboardInterrupt:
            if not at_terminal:
                raise
            typer.echo()
            continue
        if line.strip() in {"/quit", "/exit"}:
            return
        if line.strip():
            yield line
