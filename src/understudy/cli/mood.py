"""`understudy mood`: what messages sound like, and the model that learns it from labels."""

import asyncio
import sys
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.hosted import new_run, train_at_openai
from understudy.cli.terminal import (
    CommandFailed,
    ConfigOption,
    DataOption,
    JsonOption,
    print_json,
    progress_bar,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.events import MoodLabel
    from understudy.mood.classifier import MoodClassifier
    from understudy.mood.figures import Figures
    from understudy.mood.labels import LabelFile
    from understudy.mood.lexicon import Lexicon
    from understudy.mood.models import MoodModels

MAX_INPUT_CHARS = 64 * 1024

app = typer.Typer(help="Score messages, train and judge the mood model.", no_args_is_help=True)
ChannelOption = typer.Option("", "--channel", help="Channel whose words and emotes count too.")


class _Quality(msgspec.Struct, frozen=True):
    """How good one way of judging is on a file."""

    name: str
    figures: "Figures"


@app.command("score")
def score(
    text: str = typer.Argument(..., help="A message, or - for one message per line of stdin."),
    channel: str = ChannelOption,
    trained: bool = typer.Option(False, "--trained", help="By the trained model."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Say what messages sound like, from -1 (negative) to 1, by the word lists.

    Example: understudy mood score "that jump was insane PogChamp"
    """
    from understudy.mood.classifier import LexiconClassifier
    from understudy.mood.colour import colour_of, name_of

    settings = read_settings(config, data)
    texts = _lines_of_stdin() if text == "-" else [text]
    lexicon = _lexicon(settings, channel)

    with _sentences():
        by = _trained(settings, lexicon) if trained else LexiconClassifier(lexicon)
        found = asyncio.run(by.label(texts))
    if as_json:
        rows = [
            {
                "text": text,
                "label": sentiment.label,
                "score": round(sentiment.score, 4),
                "mood": name_of(sentiment.score),
                "colour": colour_of(sentiment.score),
            }
            for text, sentiment in zip(texts, found, strict=True)
        ]
        print_json(rows)
        return
    for line, sentiment in zip(texts, found, strict=True):
        typer.echo(f"{sentiment.label:<8} {sentiment.score:+.2f}  {' '.join(line.split())}")


@app.command("train")
def train(
    files: list[Path] = typer.Argument(
        None, help='Labelled messages, {"prompt", "completion"} a line.', show_default=False
    ),
    mongo: bool = typer.Option(
        False, "--mongo", help="The labels in MongoDB (mongo.url), of --channel or of all."
    ),
    channel: str = ChannelOption,
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Train the mood model on labelled messages and keep it as the current version.

    Example: understudy mood train labels.jsonl
    """
    from understudy.mood.labels import counts, too_few
    from understudy.mood.training import train as fit

    settings = read_settings(config, data)
    if not files and not mongo:
        raise CommandFailed("there is nothing to learn from: name a file of labels, or use --mongo")
    labels = _labels(files or [])
    if mongo:
        run(_take_from_mongo(settings, channel, labels))
    for warning in too_few(counts(labels.lines)):
        typer.echo(f"warning: {warning}", err=True)
    _name_left_out(labels)

    with _sentences():
        with progress_bar("training", quiet=as_json) as advance:
            training = fit(labels.lines, lexicon=_lexicon(settings, channel), progress=advance)
        known = {str(label): count for label, count in counts(labels.lines).items()}
        card = _models(settings).save(training.model, training.figures, known, training.folds)
    if as_json:
        print_json(msgspec.to_builtins(card))
        return
    typer.echo(
        f"mood model {card.version} of {card.figures.lines} messages: "
        f"accuracy {card.figures.accuracy:.1%}, macro-F1 {card.figures.macro_f1:.1%} "
        f"({card.folds}-fold cross-validation)"
    )


@app.command("upload")
def upload(
    files: list[Path] = typer.Argument(
        ..., help='Labelled messages, {"prompt", "completion"} a line.'
    ),
    base: str = typer.Option(..., "--base", help="A model that OpenAI fine-tunes."),
    no_wait: bool = typer.Option(False, "--no-wait", help="Only begin, do not follow the job."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Upload labelled messages to OpenAI, redacted, and have a model fine-tuned on them.

    Example: understudy mood upload labels.jsonl --base gpt-4o-mini
    """
    from understudy.learning.mood_model import mood_training
    from understudy.learning.training.errors import TrainingError
    from understudy.mood.labels import counts, too_few

    settings = read_settings(config, data)
    labels = _labels(files)
    for warning in too_few(counts(labels.lines)):
        typer.echo(f"warning: {warning}", err=True)
    _name_left_out(labels)
    folder = new_run(settings)
    try:
        asked = mood_training(labels.lines, base, folder)
    except TrainingError as error:
        raise CommandFailed(str(error)) from None
    train_at_openai(settings, asked, folder, wait=not no_wait, as_json=as_json)


@app.command("evaluate")
def evaluate(
    file: Path = typer.Argument(..., help='Labelled messages, {"prompt", "completion"} a line.'),
    channel: str = ChannelOption,
    transformer: str = typer.Option(
        "", help="Also a text-classification model of transformers: a folder or an id."
    ),
    chat_model: str = typer.Option(
        "", help="Also a model of OpenAI or of brain.base_url, such as a fine-tuned one."
    ),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Print accuracy, macro-F1 and confusion of the word lists and of the current model.

    Example: understudy mood evaluate held-out.jsonl
    """
    settings = read_settings(config, data)
    labels = _labels([file])
    if not labels.lines:
        raise CommandFailed(f"{file} holds no labelled messages: label some first")

    with _sentences():
        found = asyncio.run(_judge_all(settings, labels, channel, transformer, chat_model, as_json))
    if as_json:
        print_json({quality.name: msgspec.to_builtins(quality.figures) for quality in found})
    else:
        _show(found, labels)


async def _judge_all(
    settings: "Settings",
    labels: "LabelFile",
    channel: str,
    transformer: str,
    chat_model: str,
    quiet: bool,
) -> list[_Quality]:
    async with AsyncExitStack() as stack:
        judges = _judges(settings, channel, transformer)
        if chat_model:
            judges.append(_chat_model(settings, chat_model))
        for judge in judges:
            stack.push_async_callback(judge.aclose)
        found: list[_Quality] = []
        with progress_bar("judging", quiet=quiet) as advance:
            for judge in judges:
                found.append(await _judge(judge, labels))
                advance(len(found), len(judges))
        return found


def _judges(settings: "Settings", channel: str, transformer: str) -> "list[MoodClassifier]":
    from understudy.mood.classifier import LexiconClassifier

    lexicon = _lexicon(settings, channel)
    judges: list[MoodClassifier] = [LexiconClassifier(lexicon)]
    if _models(settings).current() is not None:
        judges.append(_trained(settings, lexicon))
    if transformer:
        from understudy.mood.transformer import TransformerClassifier

        token = settings.brain.hf_api_key.get_secret_value()
        judges.append(TransformerClassifier(transformer, token=token))
    return judges


def _chat_model(settings: "Settings", model: str) -> "MoodClassifier":
    from understudy.learning.mood_model import open_mood_model
    from understudy.mood.chat_model import ChatModelClassifier

    return ChatModelClassifier(open_mood_model(settings, model), f"chat model {model}")


async def _judge(judge: "MoodClassifier", labels: "LabelFile") -> _Quality:
    from understudy.mood.figures import compare

    found = await judge.label([line.text for line in labels.lines])
    truth: list[MoodLabel] = [line.label for line in labels.lines]
    guessed: list[MoodLabel] = [sentiment.label for sentiment in found]
    return _Quality(judge.name, compare(truth, guessed))


def _show(found: list[_Quality], labels: "LabelFile") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(labels.lines)} labelled messages")
    for heading in ("", "accuracy", "macro-F1", "true label", "-> negative", "neutral", "positive"):
        table.add_column(heading, justify="left" if heading in {"", "true label"} else "right")
    for quality in found:
        figures = quality.figures
        head = (quality.name, f"{figures.accuracy:.1%}", f"{figures.macro_f1:.1%}")
        for label, row in figures.confusion.items():
            table.add_row(*head, label, *map(str, row.values()))
            head = ("", "", "")
        table.add_section()
    Console(width=110).print(table)
    _name_left_out(labels)


def _name_left_out(labels: "LabelFile") -> None:
    if sentence := labels.left_out():
        typer.echo(sentence, err=True)


async def _take_from_mongo(settings: "Settings", channel: str, labels: "LabelFile") -> None:
    """Add the labels that people gave in MongoDB."""
    from understudy.storage.mongo_labels import MongoLabels

    url = settings.mongo.url.get_secret_value()
    if not url:
        raise CommandFailed("mongo.url is not set: set it to the MongoDB that holds the labels")
    mongo = MongoLabels(url)
    try:
        async for labelled in mongo.labelled(channel or None):
            labels.take(labelled.prompt, labelled.completion)
    finally:
        await mongo.close()


def _labels(files: list[Path]) -> "LabelFile":
    from understudy.mood.labels import read_labels

    with _sentences():
        return read_labels(files)


def _lexicon(settings: "Settings", channel: str) -> "Lexicon":
    from understudy.mood.channel_words import ChannelWords

    words = ChannelWords(settings.data_dir / "mood" if channel else None)
    for name, problem in words.problems.items():
        typer.echo(f"warning: mood file {name}: {problem}", err=True)
    return words.lexicon(channel)


def _models(settings: "Settings") -> "MoodModels":
    from understudy.mood.models import MoodModels

    return MoodModels(settings.data_dir / "models" / "mood")


def _trained(settings: "Settings", lexicon: "Lexicon") -> "MoodClassifier":
    from understudy.mood.trained import TrainedClassifier

    models = _models(settings)
    return TrainedClassifier(models.load(lexicon=lexicon), models.current() or "")


def _lines_of_stdin() -> list[str]:
    return [line[:MAX_INPUT_CHARS] for line in sys.stdin.read().splitlines() if line.strip()]


@contextmanager
def _sentences() -> Generator[None]:
    """Turns what people can do something about into `CommandFailed`."""
    from understudy.mood.errors import MoodError

    try:
        yield
    except MoodError as error:
        raise CommandFailed(str(error)) from None
