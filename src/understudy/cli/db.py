"""`understudy db`: the database's schema and health."""

from pathlib import Path

import typer

from understudy.cli.terminal import CommandFailed, ConfigOption, DataOption, read_settings, run

app = typer.Typer(help="Upgrade or check the database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade(data: Path = DataOption, config: Path = ConfigOption) -> None:
    """Bring the database up to date (the server does this at its start)."""
    settings = read_settings(config, data)

    async def work() -> str:
        from understudy.storage.engine import Database

        database = await Database.open(settings.database_url)
        try:
            return await database.schema_version() or ""
        finally:
            await database.close()

    typer.echo(f"the database is up to date (schema {run(work())})")


@app.command("check")
def check(data: Path = DataOption, config: Path = ConfigOption) -> None:
    """Look for damage and an outdated schema; exit code 1 when something is wrong."""
    settings = read_settings(config, data)

    async def work() -> list[str]:
        from understudy.storage.engine import Database

        database = await Database.open(settings.database_url, migrate=False)
        try:
            return await database.check()
        finally:
            await database.close()

    problems = run(work())
    if problems:
        raise CommandFailed("; ".join(problems))
    typer.echo("the database is well")
