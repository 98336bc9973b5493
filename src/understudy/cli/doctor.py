"""`understudy doctor`: every part, configured? reachable? and the fix when it is not."""

import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.doctor_chat import CHAT_CHECKS
from understudy.cli.doctor_learning import LEARNING_CHECKS
from understudy.cli.findings import Check, Finding
from understudy.cli.terminal import (
    ConfigOption,
    DataOption,
    JsonOption,
    missing_database,
    print_json,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from understudy.brains.budget import Budget
    from understudy.brains.choice import Choice
    from understudy.brains.router import Router
    from understudy.config import Settings

_MIN_FREE_BYTES = 500 * 1024 * 1024
_MARKS = {"ok": "✓", "warning": "!", "broken": "✗"}


def doctor(
    data: Path = DataOption, config: Path = ConfigOption, as_json: bool = JsonOption
) -> None:
    """Check every part, one line each with its fix; exit code 1 when something is broken."""
    settings = read_settings(config, data)
    # What is logged is among the findings: without a handler it would be printed as well.
    logging.getLogger("understudy").addHandler(logging.NullHandler())
    findings = run(examine(settings))
    if as_json:
        print_json(msgspec.to_builtins(findings))
    else:
        for finding in findings:
            typer.echo(f"{_MARKS[finding.state]} {finding.part:<10} {finding.detail}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


async def examine(settings: "Settings") -> list[Finding]:
    """All findings, in the order in which the parts depend on each other."""
    checks: list[Check] = [
        _data_dir,
        _database,
        _bus,
        _brain,
        _tools,
        _personas,
        *CHAT_CHECKS,
        *LEARNING_CHECKS,
        _web_app,
        _auth,
    ]
    return [await check(settings) for check in checks]


async def _data_dir(settings: "Settings") -> Finding:
    folder = settings.data_dir
    existing = _nearest_existing(folder)
    if not existing.is_dir():
        return Finding("data", "broken", f"{existing} is not a folder: choose one with --data")
    if not os.access(existing, os.W_OK):
        return Finding("data", "broken", f"{existing} is not writable: choose one with --data")
    free = shutil.disk_usage(existing).free
    if free < _MIN_FREE_BYTES:
        return Finding("data", "warning", f"{folder}: only {free // 2**20} MiB free, make room")
    return Finding("data", "ok", f"{folder}, {free // 2**30} GiB free")


def _nearest_existing(folder: Path) -> Path:
    # Unlike `Path.exists`, this takes what may not be looked at for missing.
    return next(path for path in [folder, *folder.parents] if os.path.exists(path))


async def _database(settings: "Settings") -> Finding:
    from understudy.storage.engine import Database
    from understudy.storage.errors import StorageError

    if missing_database(settings):
        return Finding("database", "ok", "will be created at the first start")
    try:
        database = await Database.open(settings.database_url, migrate=False)
    except StorageError as error:
        return Finding("database", "broken", str(error))
    try:
        problems = await database.check()
    finally:
        await database.close()
    if problems:
        return Finding("database", "broken", "; ".join(problems))
    return Finding("database", "ok", database.url)


async def _bus(settings: "Settings") -> Finding:
    if settings.bus.url:
        return Finding("bus", "broken", "bus.url is not supported yet: leave it empty")
    return Finding("bus", "ok", "in this process")


async def _brain(settings: "Settings") -> Finding:
    from understudy.brains.base import BrainError
    from understudy.brains.choice import choose
    from understudy.brains.prices import PricesError, load_prices
    from understudy.brains.router import Router

    choice = await choose(settings.brain)
    try:
        prices = load_prices(settings.data_dir / "prices.yaml")
        router = Router.from_settings(
            choice.settings, why=choice.why, budget=_budget(settings), prices=prices
        )
    except (BrainError, PricesError) as error:
        return Finding("brain", "broken", str(error))
    try:
        return _judge(choice, router)
    finally:
        await router.aclose()


def _budget(settings: "Settings") -> "Budget":
    from understudy.brains.budget import Budget

    brain = settings.brain
    return Budget(daily=brain.daily_budget, channel_daily=brain.channel_daily_budget)


def _judge(choice: "Choice", router: "Router") -> Finding:
    """What is to be said of a brain that could be made."""
    problems = [*(look.detail for look in choice.looked if look.blocked), *router.problems()]
    sentences = [router.why, router.describe()]
    if choice.looked and not choice.looked[-1].found:
        sentences.append(f"not found: {', '.join(look.place for look in choice.looked)}")
    if len(router.brains) > 1:
        sentences.append(f"then: {', '.join(brain.name for brain in router.brains[1:])}")
    state = "warning" if problems else "ok"
    return Finding("brain", state, "; ".join(s.rstrip(".") for s in [*problems, *sentences]))


async def _tools(settings: "Settings") -> Finding:
    from understudy.engine.tools.mcp import McpServers

    servers = McpServers(settings.tools.servers)
    servers.start()
    try:
        await servers.settled()
        problems = servers.problems()
        tools = len(servers.tools())
    finally:
        await servers.close()
    if problems:
        return Finding("tools", "broken", "; ".join(problems))
    own = "the built-in ones" if settings.tools.builtin else "none of its own"
    return Finding("tools", "ok", f"{own}, {tools} of MCP servers")


async def _personas(settings: "Settings") -> Finding:
    from understudy.engine.personas import PersonaNotFound, Personas

    personas = Personas(settings.data_dir / "personas")
    try:
        personas.get(settings.persona.default)
    except PersonaNotFound as error:
        return Finding("personas", "broken", f"persona.default: {error}")
    if personas.problems:
        problems = (f"{file}: {problem}" for file, problem in personas.problems.items())
        return Finding("personas", "warning", "; ".join(problems))
    return Finding("personas", "ok", ", ".join(personas.names()))


async def _web_app(settings: "Settings") -> Finding:
    from understudy.web import dist_folder

    if (dist_folder() / "index.html").is_file():
        return Finding("web app", "ok", "built")
    return Finding("web app", "warning", "not built: install Node >= 20.19 and use `make run`")


async def _auth(settings: "Settings") -> Finding:
    from understudy.server.auth import MIN_SECRET

    secret = settings.auth.secret.get_secret_value()
    if secret and len(secret) < MIN_SECRET:
        return Finding(
            "auth", "broken", f"auth.secret is too short: use at least {MIN_SECRET} characters"
        )
    if settings.auth_required:
        return Finding("auth", "ok", "callers need a token: make them with `understudy token`")
    if not settings.listens_on_loopback:
        return Finding("auth", "warning", "off although others can reach it: set auth.required")
    return Finding("auth", "ok", "off: only this machine can reach the server")
