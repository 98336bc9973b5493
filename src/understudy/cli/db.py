"""`understudy db`: the database's schema and health."""

from pathlib import Path

import typer

from understudy.cli.terminal import (
    CommandFailed,
    ConfigOption,
    DataOption,
    JsonOption,
    need_database,
    print_json,
    read_settings,
    run,
)

app = typer.Typer(help="Upgrade or check the database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade(
    data: Path = DataOption, config: Path = ConfigOption, as_json: bool = JsonOption
) -> None:
    """Bring the database up to date, or make it (the server does both at its start)."""
    settings = read_settings(config, data)

    async def work() -> str | None:
        from understudy.storage.engine import Database

        database = await Database.open(settings.database_url)
        try:
            return await database.schema_version()
        finally:
            await database.close()

    version = run(work())
    if as_json:
        print_json({"schema": version})
    else:
        typer.echo(f"the database is up to date (schema {version})")


@app.command("check")
def check(data: Path = DataOption, config: Path = ConfigOption, as_json: bool = JsonOption) -> None:
    """Look for damage and an outdated schema; exit code 1 when something is wrong."""
    settings = read_settings(config, data)
    need_database(settings)

    async def work() -> list[str]:
        from understudy.storage.engine import Database

        database = await Database.open(settings.database_url, migrate=False)
        try:
            return await database.check()
        finally:
            await database.close()

    problems = run(work())
    if as_json:
        print_json({"problems": problems})
    if problems:
        raise CommandFailed("; ".join(problems))
    if not as_json:
        typer.echo("the database is well")
