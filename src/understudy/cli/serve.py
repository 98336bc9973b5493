"""`understudy serve`: the server, from start to orderly stop."""

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from understudy.cli.terminal import CommandFailed, ConfigOption, DataOption, read_settings, run
from understudy.config import Settings

if TYPE_CHECKING:
    from understudy.app import Application


def serve(
    host: str = typer.Option(None, help="Address to listen on.", show_default="127.0.0.1"),
    port: int = typer.Option(None, help="Port; 0 takes a free one.", show_default="8000"),
    data: Path = DataOption,
    config: Path = ConfigOption,
    role: str = typer.Option("all", help="What this process does; only `all` so far."),
) -> None:
    """Start the server: API, sockets, web app and overlays in one process."""
    if role != "all":
        raise typer.BadParameter("only `all` is supported so far", param_hint="--role")
    settings = read_settings(config, data, server__host=host, server__port=port)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from understudy.app import Application
    from understudy.server import create_server
    from understudy.server.process import GracefulServer

    listener = _listen(settings.server.host, settings.server.port)
    with listener:
        async with Application(settings) as application:
            _announce(application, listener)
            server = GracefulServer(create_server(application.services), application.quiesce)
            await server.serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything is started, so that a port in use is the first thing said."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise CommandFailed(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
        ) from None
    return listener


def _announce(application: "Application", listener: socket.socket) -> None:
    settings, services = application.settings, application.services
    port = listener.getsockname()[1]
    shown = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
    address = f"http://{shown}:{port}"
    typer.echo(f"Understudy is ready on {address}")
    typer.echo(f"  brain    {services.router.why}")
    typer.echo(f"  data     {settings.data_dir}")
    if settings.auth_required:
        _announce_owner(services.secret, address, settings.data_dir)


def _announce_owner(secret: str, address: str, data_dir: Path) -> None:
    """Print the owner's link, the first time only: later ones come from `understudy token`."""
    from datetime import timedelta

    from understudy.server.auth import issue_token

    marker = data_dir / "auth.announced"
    if marker.exists():
        typer.echo("  owner    make a link with `understudy token --user you --role owner`")
        return
    owner = issue_token(secret, "owner", "owner", timedelta(days=30))
    typer.echo(f"  owner    {address}/#token={owner}  (shown this once)")
    marker.touch(mode=0o600)
