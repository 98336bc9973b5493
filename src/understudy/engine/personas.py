"""Personas: who the co-host is, read from YAML files that may be edited while it runs.

Owns the built-in personas, the personas directory and what is wrong with files in it. Does not own
which persona a session uses (`sessions`) nor how a prompt is put together (`context`).

A file that cannot be read is named in `Personas.problems`; its last good version stays in use.
"""

import logging
import os
import re
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import yaml

from understudy.config.watching import watch_folder

MAX_FILE_BYTES = 64 * 1024
MAX_DEPTH = 4
"""Nesting of YAML collections beyond which a file is refused; a persona needs two."""

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_EMOTION = re.compile(r"[a-z]{2,20}")
_SUFFIXES = (".yaml", ".yml")
_BUILT_IN = "built-in"

logger = logging.getLogger(__name__)


class PersonaError(Exception):
    """A persona cannot be read or saved; one sentence that says why and what to do."""


class PersonaNotFound(PersonaError):
    """No persona has this name; the message lists those there are."""


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    """A part the co-host can play. `source` is `built-in` or the path of its file.

    `emotions` are the tags it may use; an empty list means it shows none.
    """

    name: str
    system_prompt: str
    title: str = ""
    description: str = ""
    emotions: list[str] = []
    source: str = _BUILT_IN

    @property
    def prompt(self) -> str:
        """The system prompt as a model gets it: with how to show the persona's emotions."""
        if not self.emotions:
            return self.system_prompt.strip()
        tags = " ".join(f"[{emotion}]" for emotion in self.emotions)
        return (
            f"{self.system_prompt.strip()}\n"
            f"Show what you feel by a tag at the start of a sentence, at most one per sentence, "
            f"only from these: {tags}. Add a strength from 0 to 1 if you like, as in "
            f"[{self.emotions[-1]}:0.6]. Tags are never spoken; write no other stage directions."
        )


class _PersonaFile(msgspec.Struct, forbid_unknown_fields=True):
    """The fields a persona file may have."""

    system_prompt: str
    name: str = ""
    title: str = ""
    description: str = ""
    emotions: list[str] = []


class Personas:
    """All personas by name: the built-in ones, and those of `directory`, which override them."""

    def __init__(self, directory: Path | None) -> None:
        """Read everything once; `directory` need not exist yet, None means built-in ones only."""
        self._directory = directory
        self._built_in = _read_built_in()
        self._files: dict[str, Persona] = {}
        self._personas: dict[str, Persona] = {}
        self.problems: dict[str, str] = {}
        self.reload()

    def get(self, name: str) -> Persona:
        """The persona of that name; raises `PersonaNotFound`."""
        persona = self._personas.get(name)
        if persona is None:
            raise PersonaNotFound(
                f"there is no persona {name[:64]!r}: use one of {', '.join(self.names())}"
            )
        return persona

    def names(self) -> list[str]:
        """The names of all personas, sorted, `default` first."""
        return sorted(self._personas, key=lambda name: (name != "default", name))

    def all(self) -> list[Persona]:
        """All personas in the order of `names()`."""
        return [self._personas[name] for name in self.names()]

    def reload(self) -> None:
        """Read the directory again; never raises for what is wrong with a file."""
        problems: dict[str, str] = {}
        files: dict[str, Persona] = {}
        for path in self._persona_files(problems):
            try:
                files[path.name] = read_persona(path, self._directory)
            except PersonaError as error:
                problems[path.name] = str(error)
                if path.name in self._files:
                    files[path.name] = self._files[path.name]
        personas = dict(self._built_in)
        for file_name, persona in files.items():
            rival = personas.get(persona.name)
            if rival is not None and rival.source != _BUILT_IN:
                problems[file_name] = (
                    f"the name {persona.name!r} is already given in {Path(rival.source).name}:"
                    " choose another or remove one of the files"
                )
                continue
            personas[persona.name] = persona
        self._report(problems)
        self._files, self._personas, self.problems = files, personas, problems

    def save(self, persona: Persona) -> Persona:
        """Write `persona` to its file, whole or not at all, and return it as it was read back.

        A built-in persona gets a file of its own that overrides it. Raises `PersonaError` when
        the persona is not valid, or when the file holds something else that would be lost.
        """
        if self._directory is None:
            raise PersonaError("personas cannot be saved: no personas directory is set")
        self.reload()
        path = self._path_for(persona.name)
        text = _to_yaml(persona)
        _parse(text.encode(), path, allow_name_of_file=False)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, text)
        except OSError as error:
            raise PersonaError(
                f"{path.name} cannot be written: {error.strerror}: check the personas directory"
            ) from None
        self.reload()
        return self.get(persona.name)

    async def watch(self, on_reload: Callable[[], None] | None = None) -> None:
        """Reload whenever a file of the directory is saved; runs until it is cancelled.

        `on_reload` is called after each reading, the first when the watch begins.
        """
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        await watch_folder(self._directory, self.reload, on_reload)

    def _persona_files(self, problems: dict[str, str]) -> list[Path]:
        if self._directory is None or not self._directory.is_dir():
            return []
        try:
            entries = sorted(self._directory.iterdir())
        except OSError as error:
            problems["."] = f"the personas directory cannot be read: {error.strerror}"
            return []
        return [
            path
            for path in entries
            if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
        ]

    def _path_for(self, name: str) -> Path:
        """Where a persona of this name is written; raises `PersonaError`."""
        assert self._directory is not None
        _check_name(name)
        current = self._personas.get(name)
        if current is not None and current.source != _BUILT_IN:
            path = Path(current.source)
        else:
            path = self._directory / f"{name}.yaml"
            if path.exists() and path.name not in self.problems:
                raise PersonaError(
                    f"{path.name} holds another persona: rename that file, then save again"
                )
        if path.name in self.problems:
            raise PersonaError(
                f"{path.name} has a mistake, and saving would lose what is in it: mend or remove it"
                f" first ({self.problems[path.name]})"
            )
        return path

    def _report(self, problems: dict[str, str]) -> None:
        for file_name, problem in problems.items():
            if self.problems.get(file_name) != problem:
                logger.warning("persona file %s is not used: %s", file_name, problem)


def read_persona(path: Path, directory: Path | None = None) -> Persona:
    """The persona in the file `path`; raises `PersonaError`.

    With `directory`, a link that leads out of it is refused.
    """
    try:
        resolved = path.resolve(strict=True)
        if directory is not None and not resolved.is_relative_to(directory.resolve()):
            raise PersonaError("the file is a link that leads out of the personas directory")
        if not resolved.is_file():
            raise PersonaError("this is not a regular file: remove it")
        with resolved.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links go in a circle"
        raise PersonaError(f"the file cannot be read: {reason}") from None
    return _parse(data, path)


def _read_built_in() -> dict[str, Persona]:
    personas: dict[str, Persona] = {}
    for entry in resources.files("understudy.engine").joinpath("personas_builtin").iterdir():
        persona = _parse(entry.read_bytes(), Path(entry.name))
        personas[persona.name] = msgspec.structs.replace(persona, source=_BUILT_IN)
    return personas


def _parse(data: bytes, path: Path, *, allow_name_of_file: bool = True) -> Persona:
    if len(data) > MAX_FILE_BYTES:
        raise PersonaError(f"the file is larger than {MAX_FILE_BYTES // 1024} KiB: shorten it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PersonaError(
            f"the file is not UTF-8 (byte {error.start + 1}): save it as UTF-8"
        ) from None
    content = _convert(_load_yaml(text))
    if not content.name and allow_name_of_file:
        content.name = path.stem
    _check_name(content.name)
    _check_content(content)
    return Persona(
        name=content.name,
        system_prompt=content.system_prompt,
        title=content.title,
        description=content.description,
        emotions=content.emotions,
        source=str(path),
    )


def _load_yaml(text: str) -> Any:
    """The document as plain data; raises `PersonaError` for anything a persona does not need."""
    try:
        _check_events(text)
        _check_keys(yaml.compose(text, Loader=yaml.SafeLoader))
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise PersonaError(f"the file is not valid YAML{place}: {error.problem}") from None
    except (yaml.YAMLError, ValueError):
        raise PersonaError(
            "the file is not valid YAML: a character or a value in it cannot be read"
        ) from None


def _check_events(text: str) -> None:
    """Refuse aliases, which can grow a small file without bound, and deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise PersonaError(f"a YAML anchor or alias in {_line(event)}: write the text out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise PersonaError(f"too many lists in each other in {_line(event)}: flatten them")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_keys(document: yaml.Node | None) -> None:
    """Refuse a field written twice, of which YAML would silently keep the last."""
    if not isinstance(document, yaml.MappingNode):
        return
    keys = [str(key.value) for key, _ in document.value]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise PersonaError(f"{twice[:64]} is written twice: keep one of them")


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}" if event.start_mark else "the file"


def _convert(content: Any) -> _PersonaFile:
    if not isinstance(content, dict):
        raise PersonaError("the file holds no fields: write at least `system_prompt: …`")
    try:
        return msgspec.convert(content, _PersonaFile)
    except msgspec.ValidationError as error:
        fields = ", ".join(_PersonaFile.__struct_fields__)
        problem, _, place = str(error).replace("Object", "the file").partition(" - at `$.")
        problem = f"{place.strip('`')}: {problem}" if place else problem
        raise PersonaError(
            f"{problem.replace('`', '')}: the fields are {fields}, all text but emotions"
        ) from None


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise PersonaError(
            f"{name[:64]!r} cannot be a persona's name: use 1 to 64 of a-z, 0-9, _ and -"
        )


def _check_content(content: _PersonaFile) -> None:
    if not content.system_prompt.strip():
        raise PersonaError("system_prompt is empty: say who the persona is")
    for emotion in content.emotions:
        if not _EMOTION.fullmatch(emotion):
            raise PersonaError(f"{emotion[:64]!r} cannot be an emotion: use 2 to 20 letters a-z")


class _BlockDumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that a person can edit them."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _text_node)


def _to_yaml(persona: Persona) -> str:
    fields = {name: getattr(persona, name) for name in ("name", "title", "description")}
    fields["system_prompt"] = persona.system_prompt
    fields["emotions"] = list(persona.emotions)
    return yaml.dump(fields, Dumper=_BlockDumper, sort_keys=False, allow_unicode=True, width=100)


def _write_atomically(path: Path, text: str) -> None:
    """Replace the file by `text`, safely on the disk; a reader sees the old or the new whole."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
