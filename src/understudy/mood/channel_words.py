"""The words and emotes of each channel, read from YAML files that may be edited while it runs.

Owns the directory of these files (`DIR/mood/<channel>.yaml`) and what is wrong with files in it.
Does not own the built-in lists (`word_lists`).

    emotes:          # names as they are written: the channel's own, BTTV, FFZ, 7TV
      marloHype: 0.9
      Gerald: 0.5
    words:           # lower case; several words make a phrase
      postmaster: -0.3
      the snail made it: 1

A file that cannot be read is named in `ChannelWords.problems`; its last good version stays in use.
"""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from understudy.config.watching import watch_folder
from understudy.mood.errors import MoodError
from understudy.mood.lexicon import Lexicon

MAX_FILE_BYTES = 256 * 1024
MAX_FILES = 10_000
_SUFFIXES = (".yaml", ".yml")
_MAX_PHRASE_WORDS = 6
_MAX_ENTRY = 64

_log = logging.getLogger(__name__)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The fields a file may have."""

    emotes: dict[str, float] = {}
    words: dict[str, float] = {}


class ChannelWords:
    """The lexicon of every channel: the built-in one, and what the channel's file adds to it."""

    def __init__(self, directory: Path | None, *, base: Lexicon | None = None) -> None:
        """Read everything once; `directory` need not exist yet, None means no channel has one."""
        self._directory = directory
        self._base = base or Lexicon()
        self._files: dict[str, _File] = {}
        self._lexicons: dict[str, Lexicon] = {}
        self.problems: dict[str, str] = {}
        self.reload()

    def lexicon(self, channel: str) -> Lexicon:
        """The lexicon of a channel; names are the same in upper and lower case."""
        return self._lexicons.get(channel.casefold(), self._base)

    def reload(self) -> None:
        """Read the directory again; never raises for what is wrong with a file."""
        problems: dict[str, str] = {}
        files: dict[str, _File] = {}
        for path in self._paths(problems):
            channel = path.stem.casefold()
            try:
                files[channel] = read_channel_file(path)
            except MoodError as error:
                problems[path.name] = str(error)
                if channel in self._files:
                    files[channel] = self._files[channel]
        for name, problem in problems.items():
            if self.problems.get(name) != problem:
                _log.warning("mood file %s is not used: %s", name, problem)
        self._lexicons = {
            channel: self._lexicons[channel]
            if self._files.get(channel) == content
            else Lexicon(self._base.lists.with_own(content.emotes, content.words))
            for channel, content in files.items()
        }
        self._files, self.problems = files, problems

    async def watch(self, on_reload: Callable[[], None] | None = None) -> None:
        """Reload whenever a file of the directory is saved; runs until it is cancelled.

        `on_reload` is called after each reading, the first when the watch begins.
        """
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        await watch_folder(self._directory, self.reload, on_reload)

    def _paths(self, problems: dict[str, str]) -> list[Path]:
        if self._directory is None or not self._directory.is_dir():
            return []
        try:
            entries = sorted(self._directory.iterdir())
        except OSError as error:
            problems["."] = f"the mood directory cannot be read: {error.strerror}"
            return []
        paths = [p for p in entries if p.suffix.lower() in _SUFFIXES and p.name[0] != "."]
        if len(paths) > MAX_FILES:
            problems["."] = f"only the first {MAX_FILES:,} mood files are read: remove some"
        return paths[:MAX_FILES]


def read_channel_file(path: Path) -> _File:
    """The content of a channel's file; raises `MoodError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MoodError(f"the file cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise MoodError(f"the file is larger than {MAX_FILE_BYTES // 1024} KiB: shorten it")
    try:
        content = msgspec.convert(_load_yaml(data.decode("utf-8-sig")) or {}, _File)
    except UnicodeDecodeError as error:
        raise MoodError(
            f"the file is not UTF-8 (byte {error.start + 1}): save it as UTF-8"
        ) from None
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "").replace("Object", "the file")
        raise MoodError(
            f"{problem}: write `emotes:` and `words:`, each with lines such as `marloHype: 0.9`"
        ) from None
    return _checked(content)


def _load_yaml(text: str) -> Any:
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            # An alias can make a small file grow without bound.
            if isinstance(event, yaml.AliasEvent):
                place = f"line {event.start_mark.line + 1}" if event.start_mark else "the file"
                raise MoodError(f"a YAML alias in {place}: write it out")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise MoodError(f"the file is not valid YAML{place}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise MoodError(
            "the file is not valid YAML: a character or a value in it cannot be read"
        ) from None


def _checked(content: _File) -> _File:
    for entry, value in [*content.emotes.items(), *content.words.items()]:
        if not math.isfinite(value) or abs(value) > 1:
            raise MoodError(f"the value of {entry[:_MAX_ENTRY]!r} is not from -1 to 1: change it")
        if not entry.strip() or len(entry) > _MAX_ENTRY:
            raise MoodError(f"{entry[:_MAX_ENTRY]!r} is empty or too long: use 1 to 64 characters")
    for emote in content.emotes:
        if len(emote.split()) > 1:
            raise MoodError(f"the emote {emote!r} has a space in it: write it as chat does")
    words = {" ".join(entry.lower().split()): value for entry, value in content.words.items()}
    for phrase in words:
        if phrase.count(" ") >= _MAX_PHRASE_WORDS:
            raise MoodError(f"{phrase!r} is longer than {_MAX_PHRASE_WORDS} words: shorten it")
    return _File(emotes=content.emotes, words=words)
