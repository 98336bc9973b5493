"""`understudy evaluate`: puts a trained version through the gates."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.blind import ask_blindly
from understudy.cli.terminal import (
    Advance,
    ConfigOption,
    DataOption,
    JsonOption,
    need_database,
    print_json,
    progress_bar,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.learning.evaluation.evaluator import Report


def evaluate(
    version: str = typer.Argument(..., help="The version, such as all@3."),
    against: str = typer.Option(
        "", help="Version to compare with, or base.", show_default="the live one"
    ),
    base: str = typer.Option(
        "", help="Model it is of: a folder or an id.", show_default="the local model"
    ),
    blind: int = typer.Option(
        0, "--blind", min=0, help="Instead, ask you which of two replies is better, N times."
    ),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Put a version through the gates; exit code 1 when one fails.

    Example: understudy evaluate all@3 --against all@2
    """
    settings = read_settings(config, data)
    need_database(settings)
    if blind:
        return ask_blindly(settings, version, against, base, blind)
    with progress_bar("evaluating", quiet=as_json) as advance:
        report = run(_evaluate(settings, version, against, base, advance))
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _show(report)
    if not report.passed:
        raise typer.Exit(1)


async def _evaluate(
    settings: "Settings", version: str, against: str, base: str, advance: Advance
) -> "Report":
    from understudy.learning.evaluation.judging import evaluator
    from understudy.storage.engine import Database

    database = await Database.open(settings.database_url)
    try:
        judge = await evaluator(settings, database, version, base=base)
        return await judge.evaluate(version, against, advance)
    finally:
        await database.close()


def _show(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table

    from understudy.learning.gates.verdict import TITLES

    outcome = "passed" if report.passed else "did not pass"
    table = Table(title=f"{report.version} against {report.against}: {outcome}")
    for heading in ("gate", "", "why"):
        table.add_column(heading)
    for verdict in report.verdicts:
        state = "skipped" if verdict.skipped else "passed" if verdict.passed else "failed"
        table.add_row(f"{verdict.gate} {TITLES[verdict.gate]}", state, verdict.sentence)
    Console(width=110).print(table)
