"""`understudy chat`: a terminal client that streams."""

import sys
from collections.abc import Generator, Iterator
from typing import Any

import msgspec
import typer
from rich.console import Console

from understudy.cli.terminal import DEFAULT_URL, CommandFailed, JsonOption, UrlOption

_HELP = "Enter sends · Ctrl-C stops a reply · Ctrl-D or /quit leaves"


class Frame(msgspec.Struct):
    """A frame of `/chat/stream`, whichever kind it is."""

    token: str = ""
    done: bool = False
    error: str = ""


def chat(
    url: str = UrlOption,
    persona: str = typer.Option(None, help="Whom to talk to.", show_default="default"),
    session: str = typer.Option(None, help="Go on with this session."),
    token: str = typer.Option(None, envvar="UNDERSTUDY_TOKEN", help="Bearer token, if asked for."),
    as_json: bool = JsonOption,
) -> None:
    """Talk to the co-host; replies stream in. Reads lines from a pipe too."""
    with Client(url or DEFAULT_URL, token) as client:
        client.start(persona, session)
        console = Console(highlight=False)
        interactive = sys.stdin.isatty() and not as_json
        if interactive:
            console.print(f"[dim]session {client.session} · {_HELP}[/dim]")
        for line in _lines(interactive):
            _answer(client, console, line, as_json)


class Client:
    """One session on a running server, over HTTP."""

    def __init__(self, url: str, token: str | None) -> None:
        import httpx2

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=60)
        self._errors = httpx2.HTTPError
        self._url = url
        self.session = ""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def start(self, persona: str | None, session: str | None) -> None:
        """Start a session, or take up an old one."""
        if session is not None:
            self.call("GET", f"/chat/sessions/{session}")
            self.session = session
            return
        body = {"user_id": "terminal", **({"persona": persona} if persona else {})}
        self.session = self.call("POST", "/chat/start", body)["session_id"]

    def stream(self, message: str) -> Generator[Frame]:
        """The frames of the answer; closing it early stops the reply."""
        body = {"session_id": self.session, "message": message}
        run, ended = "", False
        try:
            with self._http.stream("POST", "/chat/stream", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    raise CommandFailed(_detail(response.text))
                run = response.headers["X-Run-Id"]
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        frame = msgspec.json.decode(line[6:], type=Frame)
                        ended = frame.done
                        yield frame
        except self._errors as error:
            raise self._unreachable(error) from None
        finally:
            if run and not ended:
                self.call("POST", f"/chat/runs/{run}/stop")

    def call(
        self, method: str, path: str, body: object = None, *, content: bytes | None = None
    ) -> dict[str, Any]:
        """The JSON answer to one request (empty for none); raises `CommandFailed`."""
        try:
            response = self._http.request(method, path, json=body, content=content)
        except self._errors as error:
            raise self._unreachable(error) from None
        if response.status_code >= 400:
            raise CommandFailed(_detail(response.text))
        return msgspec.json.decode(response.content) if response.content else {}

    def _unreachable(self, error: Exception) -> CommandFailed:
        return CommandFailed(
            f"{self._url} does not answer ({type(error).__name__}): start `understudy serve`"
        )


def _detail(body: str) -> str:
    """The one sentence of a problem document."""
    try:
        return str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "the server answered with something that is not Understudy's: check --url"


def _lines(interactive: bool) -> Iterator[str]:
    while True:
        try:
            line = input("you > " if interactive else "")
        except (EOFError, KeyboardInterrupt):
            return
        if line.strip() in {"/quit", "/exit"}:
            return
        if line.strip():
            yield line


def _answer(client: Client, console: Console, line: str, as_json: bool) -> None:
    """Print the answer as it comes; Ctrl-C stops it and goes on with the conversation."""
    frames = client.stream(line)
    said: list[str] = []
    try:
        for frame in frames:
            if frame.error:
                raise CommandFailed(frame.error)
            said.append(frame.token)
            if not as_json:
                console.print(frame.token, end="", markup=False)
    except KeyboardInterrupt:
        frames.close()
        said.append(" …")
        if not as_json:
            console.print(" …", end="", markup=False)
    if as_json:
        typer.echo(
            msgspec.json.encode({"session_id": client.session, "reply": "".join(said)}).decode()
        )
    else:
        console.print()
