"""A running server as the commands see it: requests, streams, and errors in one sentence."""

from collections.abc import Generator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec

from understudy.cli.terminal import CommandFailed

_TIMEOUT_SECONDS = 60
_STRANGER = "the server answered with something that is not Understudy's: check --url"


class Frame(msgspec.Struct):
    """A frame of `/chat/stream`, whichever kind it is."""

    token: str = ""
    done: bool = False
    error: str = ""
    message_id: str | None = None


class Client:
    """A server at `url`, over HTTP. All methods raise `CommandFailed`."""

    def __init__(self, url: str, token: str | None) -> None:
        import httpx2

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._errors = (httpx2.HTTPError, httpx2.InvalidURL)
        self._url = url
        try:
            self._http = httpx2.Client(base_url=url, headers=headers, timeout=_TIMEOUT_SECONDS)
        except self._errors as error:
            raise self._unreachable(error) from None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def start(self, persona: str | None, session: str | None) -> str:
        """Start a session, or take up an old one; returns its id."""
        if session is not None:
            self.call("GET", f"/chat/sessions/{quote(session)}")
            return session
        body = {"user_id": "terminal", **({"persona": persona} if persona else {})}
        return _field(self.call("POST", "/chat/start", body), "session_id")

    def stream(self, session: str, message: str) -> Generator[Frame]:
        """The frames of the answer; closing it early stops the reply."""
        body = {"session_id": session, "message": message}
        run, ended = "", False
        try:
            with self._http.stream("POST", "/chat/stream", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    raise CommandFailed(_detail(response.text))
                run = response.headers.get("X-Run-Id", "")
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        frame = msgspec.json.decode(line[6:], type=Frame)
                        ended = frame.done
                        yield frame
            if not ended:
                raise CommandFailed("the reply broke off: ask again")
        except self._errors as error:
            raise self._unreachable(error) from None
        except msgspec.DecodeError:
            raise CommandFailed(_STRANGER) from None
        finally:
            if run and not ended:
                # It may have ended by itself, or the server is gone: the reply is over either way.
                with suppress(CommandFailed):
                    self.call("POST", f"/chat/runs/{quote(run)}/stop")

    def call(
        self, method: str, path: str, body: object = None, *, content: bytes | None = None
    ) -> dict[str, Any]:
        """The JSON object that answers one request, empty for none."""
        try:
            response = self._http.request(method, path, json=body, content=content)
        except self._errors as error:
            raise self._unreachable(error) from None
        if response.status_code >= 400:
            raise CommandFailed(_detail(response.text))
        try:
            return msgspec.json.decode(response.content or b"{}", type=dict[str, Any])
        except msgspec.DecodeError:
            raise CommandFailed(_STRANGER) from None

    def _unreachable(self, error: Exception) -> CommandFailed:
        return CommandFailed(
            f"{self._url} does not answer ({type(error).__name__}): start `understudy serve` or "
            "check --url"
        )


def _field(answer: dict[str, Any], name: str) -> str:
    if not isinstance(answer.get(name), str):
        raise CommandFailed(_STRANGER)
    return answer[name]


def _detail(body: str) -> str:
    """The one sentence of a problem document."""
    try:
        return str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return _STRANGER
