"""`understudy token`: tokens for people, keys for overlays."""

import re
from datetime import timedelta
from pathlib import Path

import typer

from understudy.cli.terminal import (
    CommandFailed,
    ConfigOption,
    DataOption,
    JsonOption,
    print_json,
    read_settings,
    run,
)
from understudy.config import Settings

_TTL = re.compile(r"^(\d{1,6})([smhdw])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ROLES = ("owner", "moderator", "viewer", "overlay")


def token(
    user: str = typer.Option(..., "--user", help="Whom it stands for."),
    role: str = typer.Option("viewer", help="owner, moderator, viewer or overlay."),
    ttl: str = typer.Option("30d", help="How long it is valid, as in 90m, 12h or 30d."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Make a bearer token; for `--role overlay`, a read-only overlay key that can be revoked."""
    if role not in _ROLES:
        raise typer.BadParameter(f"use one of {', '.join(_ROLES)}", param_hint="--role")
    settings = read_settings(config, data)
    made = _overlay_key(settings, user) if role == "overlay" else _token(settings, user, role, ttl)
    if as_json:
        print_json({"token": made, "user": user, "role": role})
    else:
        typer.echo(made)


def parse_ttl(text: str) -> timedelta:
    """A duration such as `30d`; raises `CommandFailed`."""
    match = _TTL.match(text)
    if match is None or int(match[1]) == 0:
        raise CommandFailed(f"{text!r} is not a duration: write a number and s, m, h, d or w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _token(settings: Settings, user: str, role: str, ttl: str) -> str:
    import msgspec

    from understudy.server.auth import AuthError, UserRole, issue_token, load_secret

    valid = parse_ttl(ttl)
    try:
        return issue_token(load_secret(settings), user, msgspec.convert(role, UserRole), valid)
    except AuthError as error:
        raise CommandFailed(str(error)) from None


def _overlay_key(settings: Settings, label: str) -> str:
    from understudy.storage.engine import Database
    from understudy.storage.overlay_keys import OverlayKeys

    async def make() -> str:
        database = await Database.open(settings.database_url)
        try:
            _, key = await OverlayKeys(database).create("chat", label)
        finally:
            await database.close()
        return key

    return run(make())
