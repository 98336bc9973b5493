"""`understudy evaluate --blind`: a person says which of two unnamed replies is better."""

from typing import TYPE_CHECKING

import typer

from understudy.cli.terminal import run

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.learning.evaluation.blind import BlindPair, Preferred
    from understudy.learning.evaluation.judging import BlindRound

_ANSWERS = ("1", "2", "=", "q")


def ask_blindly(settings: "Settings", version: str, against: str, base: str, count: int) -> None:
    """Show up to `count` pairs and note every answer at once, so that Ctrl-C keeps them."""
    from understudy.learning.evaluation.blind import add_preference, read_preferences

    asked = run(_round(settings, version, against, base, count))
    try:
        for number, pair in enumerate(asked.pairs, 1):
            preferred = _ask(pair, f"{number} of {len(asked.pairs)}")
            if preferred is None:
                break
            add_preference(asked.answers, pair, preferred, asked.against)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo()
    told = read_preferences(asked.answers, asked.against)
    typer.echo(
        f"{version} was preferred {told.wins} times, {asked.against} {told.losses} times, neither "
        f"{told.ties} times: understudy evaluate {version} counts them"
    )


def _ask(pair: "BlindPair", place: str) -> "Preferred | None":
    """What is preferred; None when the person has had enough."""
    from understudy.safety.text import clean

    typer.echo(f"\n{place}: {clean(pair.message)}")
    for side, reply in enumerate(pair.replies, 1):
        typer.echo(f"  {side}  {clean(reply)}")
    answer = ""
    while answer not in _ANSWERS:
        answer = typer.prompt("Which is better? (1, 2, = neither, q to stop)").strip()
    if answer == "q":
        return None
    return "neither" if answer == "=" else pair.names[int(answer) - 1]


async def _round(
    settings: "Settings", version: str, against: str, base: str, count: int
) -> "BlindRound":
    from understudy.learning.evaluation.judging import blind_round
    from understudy.storage.engine import Database

    database = await Database.open(settings.database_url)
    try:
        return await blind_round(settings, database, version, count, against=against, base=base)
    finally:
        await database.close()
