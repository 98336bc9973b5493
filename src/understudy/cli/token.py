"""`understudy token`: tokens for people, keys for overlays."""

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from understudy.config import Settings

_TTL = re.compile(r"(\d{1,9})([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MAX_TTL = timedelta(days=3650)
_ROLES = ("owner", "moderator", "viewer", "overlay")


def parse_ttl(text: str) -> timedelta:
    """A duration such as `30d`, up to ten years; raises `typer.BadParameter`."""
    match = _TTL.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(
            f"{text!r} is not a duration: write a number and s, m, h, d or w", param_hint="--ttl"
        )
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]]
    if seconds > _MAX_TTL.total_seconds():
        raise typer.BadParameter(
            f"{text} is too long: use at most {_MAX_TTL.days}d", param_hint="--ttl"
        )
    return timedelta(seconds=seconds)


def token(
    user: str = typer.Option(..., "--user", help="Whom it stands for; an overlay key's label."),
    role: str = typer.Option("viewer", help="owner, moderator, viewer or overlay."),
    ttl: str = typer.Option(
        "30d", help="How long it is valid, as in 90m, 12h or 30d; overlay keys do not expire."
    ),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Make a bearer token; for `--role overlay`, a read-only overlay key that can be revoked.

    Example: understudy token --user ada --role moderator --ttl 12h
    """
    if role not in _ROLES:
        raise typer.BadParameter(f"use one of {', '.join(_ROLES)}", param_hint="--role")
    if not user.strip():
        raise typer.BadParameter("say whom the token stands for", param_hint="--user")
    valid = parse_ttl(ttl)
    settings = read_settings(config, data)
    if role == "overlay":
        key_id, made = _overlay_key(settings, user)
        more = {"id": key_id}
    else:
        made, more = _token(settings, user, role, valid), {}
    if as_json:
        print_json({"token": made, "user": user, "role": role, **more})
    else:
        typer.echo(made)


def _token(settings: "Settings", user: str, role: str, valid: timedelta) -> str:
    import msgspec

    from understudy.server.auth import AuthError, UserRole, issue_token, load_secret

    try:
        return issue_token(load_secret(settings), user, msgspec.convert(role, UserRole), valid)
    except AuthError as error:
        raise CommandFailed(str(error)) from None
    except OSError as error:
        raise CommandFailed(
            f"the secret in {settings.data_dir} cannot be used ({error.strerror}): choose another "
            "folder with --data or give this user access"
        ) from None


def _overlay_key(settings: "Settings", label: str) -> tuple[str, str]:
    from understudy.storage.engine import Database
    from understudy.storage.overlay_keys import OverlayKeys

    async def make() -> tuple[str, str]:
        database = await Database.open(settings.database_url)
        try:
            return await OverlayKeys(database).create("chat", label)
        finally:
            await database.close()

    return run(make())
