"""`understudy rehearse`: a recorded chat through the whole pipeline, here or on a server."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from understudy.cli.client import Client
from understudy.cli.terminal import (
    DEFAULT_URL,
    CommandFailed,
    ConfigOption,
    DataOption,
    JsonOption,
    TokenOption,
    check_url,
    print_json,
    progress_bar,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from understudy.config import Settings

PIECE_BYTES = 60_000
"""A server takes at most 64 KiB at once by default."""
POLL_SECONDS = 0.5


class Wish(msgspec.Struct, frozen=True):
    """What to play, and how; a speed of None is as fast as possible."""

    file: Path
    channel: str
    speed: float | None
    seed: int
    quiet: bool


def rehearse(
    file: Path = typer.Argument(..., help="Recorded chat: JSON lines, TwitchDownloader or CSV."),
    channel: str = typer.Option("", help="Play it in this channel, instead of the recorded one."),
    speed: str = typer.Option("max", help="1 for real time, a factor such as 10, or max."),
    seed: int = typer.Option(
        0, min=0, help="The scripted brain repeats itself exactly with any but 0, which varies."
    ),
    report: Path | None = typer.Option(
        None, help="Write every decision and reply to this file as JSON."
    ),
    url: str = typer.Option(
        None, help=f"Play it on a running server, e.g. {DEFAULT_URL}.", callback=check_url
    ),
    token: str = TokenOption,
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Play a recorded chat through the whole pipeline and report every decision and reply.

    Example: understudy rehearse chat.jsonl --seed 1 --report report.json
    """
    wish = Wish(file, channel, parse_speed(speed), seed, quiet=as_json)
    if report is not None:
        _check_writable(report)
    if url:
        result = _rehearse_there(wish, url, token)
    else:
        result = run(_rehearse_here(read_settings(config, data), wish))
    if report is not None:
        _write_report(report, result)
    if as_json:
        print_json(result)
    else:
        _print_summary(result)


def parse_speed(text: str) -> float | None:
    """A factor of real time, None for `max`; raises `typer.BadParameter`."""
    if text == "max":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor <= 1000:
        raise typer.BadParameter("use a number from above 0 to 1000, or max", param_hint="--speed")
    return factor


async def _rehearse_here(settings: "Settings", wish: Wish) -> dict[str, Any]:
    import asyncio

    from understudy.app import Application
    from understudy.sources.recordings import count_hint
    from understudy.sources.rehearsal import RehearsalOptions

    # Before the application makes a database: a name typed wrong must leave nothing behind.
    total = count_hint(wish.file)
    async with Application(settings) as application:
        options = RehearsalOptions(speed=wish.speed, seed=wish.seed, channel=wish.channel)
        rehearsal = application.services.rehearsals.create(options)
        playing = asyncio.create_task(rehearsal.play(wish.file))
        try:
            with progress_bar("rehearsing", quiet=wish.quiet) as advance:
                while not playing.done():
                    await asyncio.wait([playing], timeout=POLL_SECONDS)
                    advance(rehearsal.played, total)
        finally:
            # Left early by Ctrl-C, it must end before what it plays on is closed.
            rehearsal.stop()
            await playing
    return _result(rehearsal.describe(), rehearsal.report())


def _rehearse_there(wish: Wish, url: str, token: str | None) -> dict[str, Any]:
    with Client(url, token) as client, _opened(client, wish) as path:
        _upload(client, path, wish.file)
        client.call("POST", f"{path}/start")
        with progress_bar("rehearsing", quiet=wish.quiet) as advance:
            while (state := client.call("GET", path))["state"] == "running":
                advance(state["played"], state["total"])
                # The server tells how far it is when asked; there is nothing to wait on.
                time.sleep(POLL_SECONDS)
    return _result(state, state["report"])


@contextmanager
def _opened(client: Client, wish: Wish) -> Generator[str]:
    """The path of a new rehearsal on the server, which is stopped when the block fails."""
    body = {"speed": wish.speed or "max", "seed": wish.seed, "channel": wish.channel}
    path = f"/api/v1/rehearsals/{client.call('POST', '/api/v1/rehearsals', body)['id']}"
    try:
        yield path
    except BaseException:
        with suppress(CommandFailed):
            client.call("DELETE", path)
        raise


def _upload(client: Client, path: str, file: Path) -> None:
    try:
        with file.open("rb") as recording:
            while piece := recording.read(PIECE_BYTES):
                client.call("POST", f"{path}/lines", content=piece)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None


def _result(state: dict[str, Any], report: dict[str, Any] | None) -> dict[str, Any]:
    if state["state"] == "failed" or report is None:
        raise CommandFailed(state["error"] or "the rehearsal did not end")
    return report


def _check_writable(report: Path) -> None:
    """Refuse before the work is done what could not be written after it."""
    if report.is_dir() or not report.parent.is_dir() or not os.access(report.parent, os.W_OK):
        raise CommandFailed(f"{report} cannot be written: choose a file in a folder that exists")


def _write_report(path: Path, report: dict[str, Any]) -> None:
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}") from None


def _print_summary(report: dict[str, Any]) -> None:
    played = ", ".join(f"{count} {kind}" for kind, count in report["events"].items())
    channels = ", ".join(report["channels"])
    typer.echo(f"{channels}: {played} in {report['stream_seconds']:.0f} s of stream")
    for decision, count in sorted(report["decisions"].items(), key=lambda item: -item[1]):
        typer.echo(f"  {count:>6}  {decision}")
    for line in report["bad_lines"]:
        typer.echo(f"  line {line['line']} skipped: {line['reason']}", err=True)
    if report["bad_line_count"]:
        typer.echo(f"  {report['bad_line_count']} lines skipped", err=True)
