"""The command itself: its subcommands, and how errors end it."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from understudy import __version__
from understudy.cli import (
    chat,
    dataset,
    db,
    doctor,
    evaluate,
    export,
    importing,
    learn,
    models,
    mood,
    rehearse,
    serve,
    token,
    train,
)
from understudy.cli.terminal import CommandFailed, fail, forgive


class _Commands(TyperGroup):
    """The subcommands; an expected error of one ends it with one sentence and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandFailed as error:
            raise typer.Exit(fail(str(error))) from None


app = typer.Typer(
    name="understudy",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.command("rehearse")(rehearse.rehearse)
app.command("import")(importing.import_recordings)
app.command("export")(export.export)
app.add_typer(mood.app, name="mood")
app.add_typer(dataset.app, name="dataset")
app.command("learn")(learn.learn)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(models.app, name="models")
app.command("token")(token.token)
app.add_typer(db.app, name="db")
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"understudy {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_print_version, is_eager=True
    ),
) -> None:
    """A self-hosted AI co-host for live streams that learns from its audience."""


def main() -> None:
    """Run the command that the process was started with."""
    forgive(sys.stdout)
    forgive(sys.stderr)
    app()
