"""`understudy rehearse`: a recorded chat through the whole pipeline, here or on a server."""

import time
from pathlib import Path
from typing import Any

import msgspec
import typer

from understudy.cli.terminal import (
    DEFAULT_URL,
    CommandFailed,
    ConfigOption,
    DataOption,
    JsonOption,
    advance,
    print_json,
    progress_bar,
    read_settings,
    run,
)
from understudy.config import Settings

PIECE_BYTES = 60_000
POLL_SECONDS = 0.5


def rehearse(
    file: Path = typer.Argument(..., help="Recorded chat."),
    channel: str = typer.Option("", help="Play it in this channel, instead of the recorded one."),
    speed: str = typer.Option("max", help="1 for real time, a factor such as 10, or max."),
    seed: int = typer.Option(0, min=0, help="Makes the scripted brain repeat itself exactly."),
    report: Path = typer.Option(None, help="Write what came of it as JSON."),
    url: str = typer.Option(None, help=f"Play it on a running server, e.g. {DEFAULT_URL}."),
    token: str = typer.Option(None, envvar="UNDERSTUDY_TOKEN", help="Bearer token, if asked for."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Play a recorded chat through the whole pipeline and report every decision and reply."""
    factor = parse_speed(speed)
    if url:
        result = _rehearse_there(file, url, token, channel, factor, seed, as_json)
    else:
        settings = read_settings(config, data)
        result = run(_rehearse_here(settings, file, channel, factor, seed, as_json))
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


async def _rehearse_here(
    settings: Settings, file: Path, channel: str, speed: float | None, seed: int, quiet: bool
) -> dict[str, Any]:
    import asyncio

    from understudy.app import Application
    from understudy.sources.recordings import count_hint
    from understudy.sources.rehearsal import RehearsalOptions

    total = count_hint(file)
    async with Application(settings) as application:
        options = RehearsalOptions(speed=speed, seed=seed, channel=channel)
        rehearsal = application.services.rehearsals.create(options)
        playing = asyncio.create_task(rehearsal.play(file))
        with progress_bar("rehearsing", quiet=quiet) as progress:
            while not playing.done():
                await asyncio.wait([playing], timeout=POLL_SECONDS)
                advance(progress, rehearsal.played, total)
        await playing
    return _result(rehearsal.describe(), rehearsal.report())


def _rehearse_there(
    file: Path,
    url: str,
    token: str | None,
    channel: str,
    speed: float | None,
    seed: int,
    quiet: bool,
) -> dict[str, Any]:
    from understudy.cli.chat import Client

    with Client(url, token) as client:
        body = {"speed": speed or "max", "seed": seed, "channel": channel}
        path = f"/api/v1/rehearsals/{client.call('POST', '/api/v1/rehearsals', body)['id']}"
        try:
            with file.open("rb") as recording:
                while piece := recording.read(PIECE_BYTES):
                    client.call("POST", f"{path}/lines", content=piece)
        except OSError as error:
            raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None
        state = client.call("POST", f"{path}/start")
        try:
            with progress_bar("rehearsing", quiet=quiet) as progress:
                while state["state"] == "running":
                    # The server tells how far it is when asked; there is nothing to wait on.
                    time.sleep(POLL_SECONDS)
                    state = client.call("GET", path)
                    advance(progress, state["played"], state["total"])
        except KeyboardInterrupt:
            client.call("DELETE", path)
            raise
    return _result(state, state.get("report"))


def _result(state: dict[str, Any], report: dict[str, Any] | None) -> dict[str, Any]:
    if state["state"] == "failed" or report is None:
        raise CommandFailed(state["error"] or "the rehearsal did not end")
    return report


def _write_report(path: Path, report: dict[str, Any]) -> None:
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}") from None


def _print_summary(report: dict[str, Any]) -> None:
    played = ", ".join(f"{count} {kind}" for kind, count in report["events"].items())
    typer.echo(f"{', '.join(report['channels'])}: {played} in {report['stream_seconds']:.0f} s")
    for decision, count in sorted(report["decisions"].items(), key=lambda item: -item[1]):
        typer.echo(f"  {count:>6}  {decision}")
    for line in report["bad_lines"]:
        typer.echo(f"  line {line['line']} skipped: {line['reason']}", err=True)
    if report["bad_line_count"]:
        typer.echo(f"  {report['bad_line_count']} lines skipped", err=True)
