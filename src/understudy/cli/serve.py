"""`understudy serve`: the server, from start to orderly stop."""

import errno
import gc
import logging
import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from understudy.cli.terminal import (
    CommandFailed,
    ConfigOption,
    DataOption,
    LoopFactory,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from understudy.app import Application
    from understudy.config import Settings
    from understudy.server.process import GracefulServer

_EVERY_ADDRESS = {"0.0.0.0", "::", ""}
_CHATTY_LOGGERS = ("alembic", "watchfiles")


def serve(
    host: str = typer.Option(None, help="Address to listen on.", show_default="127.0.0.1"),
    port: int = typer.Option(
        None, min=0, max=65535, help="Port; 0 takes a free one.", show_default="8000"
    ),
    data: Path = DataOption,
    config: Path = ConfigOption,
    role: str = typer.Option("all", help="What this process does; only `all` so far."),
) -> None:
    """Start the server: API, sockets, web app and overlays in one process. Ctrl-C stops it.

    Example: understudy serve --host 0.0.0.0 --data /srv/understudy
    """
    if role != "all":
        raise typer.BadParameter("only `all` is supported so far", param_hint="--role")
    settings = read_settings(config, data, server__host=host, server__port=port)
    _configure_logging()
    run(_serve(settings), _fast_loop())


async def _serve(settings: "Settings") -> None:
    from understudy.app import Application

    with _listen(settings.server.host, settings.server.port) as listener:
        async with Application(settings) as application:
            await _server(application, listener).serve(sockets=[listener])


def _server(application: "Application", listener: socket.socket) -> "GracefulServer":
    from understudy.server.http import create_server
    from understudy.server.process import GracefulServer

    class Announced(GracefulServer):
        """Says that it is ready when it is: from then on a signal ends it in order."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            _collect_less_often()
            _announce(application, listener)

    return Announced(create_server(application.services), application.quiesce)


def _collect_less_often() -> None:
    """Leave what stays out of garbage collections, and have fewer: they took a sixth of the CPU.

    References free nearly all that a reply makes; the collector is for the few cycles among it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _fast_loop() -> LoopFactory | None:
    """uvloop's event loop, which takes a fifth less CPU a stream; None where it is not made."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def _configure_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything is started, so that a port in use is the first thing said."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":
        # A restart need not wait for old connections. Elsewhere it would allow two servers at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, UnicodeError) as error:
        listener.close()
        raise _cannot_listen(host, port, error) from None
    return listener


def _cannot_listen(host: str, port: int, error: OSError | UnicodeError) -> CommandFailed:
    code = error.errno if isinstance(error, OSError) else None
    reason = getattr(error, "strerror", None) or str(error)
    option = "--port" if code in {errno.EADDRINUSE, errno.EACCES} else "--host"
    return CommandFailed(f"cannot listen on {host}:{port} ({reason}): choose another with {option}")


def _announce(application: "Application", listener: socket.socket) -> None:
    settings, services = application.settings, application.services
    address = reachable_address(settings.server.host, listener.getsockname()[1])
    typer.echo(f"Understudy is ready on {address}")
    if settings.server.host in _EVERY_ADDRESS:
        typer.echo("  network  every address of this machine; put yours in place of its name")
    typer.echo(f"  brain    {services.router.why}")
    typer.echo(f"  data     {settings.data_dir}")
    if settings.auth_required:
        _announce_owner(services.secret, address, settings.data_dir)


def reachable_address(host: str, port: int) -> str:
    """Where a browser finds a server that listens on `host`: this machine's name for all of it."""
    if host in _EVERY_ADDRESS:
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce_owner(secret: str, address: str, data_dir: Path) -> None:
    """Print the owner's link, the first time only: later ones come from `understudy token`."""
    from datetime import timedelta

    from understudy.server.auth import issue_token

    marker = data_dir / "auth.announced"
    if marker.exists():
        typer.echo(
            f"  owner    open {address}/#token=… with one of `understudy token --role owner`"
        )
        return
    owner = issue_token(secret, "owner", "owner", timedelta(days=30))
    typer.echo(f"  owner    {address}/#token={owner}  (shown this once)")
    marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker.touch(mode=0o600)
