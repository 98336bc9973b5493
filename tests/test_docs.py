"""The documents tell the truth: what they name exists, and what they show was just run.

How a fenced block is checked goes by its language, and no other language is allowed:

- `console`: lines after `$ ` are run in order, in one shell per document, against a server started
  for the test; the lines below a command must appear in what it prints, in this order, with `…`
  standing for anything. It must succeed. The folder it runs in looks like a checkout.
- `sh`: commands that change a machine or never end. They are not run; what they name must exist.
- `python`: run as it stands. `toml`, `env`, `yaml`, `jsonl`, `json`: read by what reads them.
- `ini`, `text`: not commands.
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from understudy.cli.main import app
from understudy.config import ALIASES, ENV_PREFIX, Settings, load_settings, section_fields
from understudy.engine.personas import read_persona
from understudy.sources.recordings import BadLine, read_recording

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "understudy"
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README, ARCHITECTURE, API, CONFIGURATION = (
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("architecture", "api", "configuration")),
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

ADDRESS = "127.0.0.1:8000"
MARK = "=== command "
SECONDS = 60

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z0-9][a-z0-9-]*")
PLACE = re.compile(r"^(?:src|tests|docs|frontend|benchmarks|scripts|examples)/[\w./-]*$")


class Block(NamedTuple):
    """A fenced block of a document."""

    document: Path
    language: str
    text: str


class Command(NamedTuple):
    """A command of a `console` block and the lines shown below it."""

    text: str
    shown: list[str]


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def blocks(*languages: str) -> list[Block]:
    return [
        Block(document, language, text)
        for document in DOCS
        for language, text in FENCE.findall(document.read_text(encoding="utf-8"))
        if not languages or language in languages
    ]


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], []))
        else:
            found[-1].shown.append(line)
    return found


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def by_document(value: Path) -> str:
    return value.stem


# --- the shape of the documents


def test_fenced_blocks_are_of_a_kind_that_is_checked() -> None:
    known = {"console", "sh", "python", "toml", "env", "yaml", "jsonl", "json", "ini", "text"}
    strange = {(name_of(b.document), b.language) for b in blocks() if b.language not in known}
    assert strange == set()


@pytest.mark.parametrize("document", DOCS, ids=by_document)
def test_links_and_images_lead_somewhere(document: Path) -> None:
    broken: list[str] = []
    for target in LINK.findall(prose(document)):
        place, _, anchor = target.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        path = (document.parent / place).resolve() if place else document
        if not path.is_file() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def anchors(document: Path) -> set[str]:
    """The anchors of headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCS, ids=by_document)
def test_places_in_the_repository_exist(document: Path) -> None:
    named = {code for code in CODE.findall(prose(document)) if PLACE.match(code)}
    assert [place for place in sorted(named) if not (ROOT / place).exists()] == []


# --- the program they describe


def rooms() -> set[str]:
    """The modules and folders at the top of the package, as the document writes them."""
    found = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    return found | {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}


def described_rooms() -> list[str]:
    return re.findall(r"^### `([^`]+)`$", prose(ARCHITECTURE), re.MULTILINE)


def test_architecture_describes_exactly_the_rooms_there_are() -> None:
    described = described_rooms()
    assert set(described) == rooms()
    assert len(described) == len(set(described))


def test_architecture_puts_each_room_below_those_it_imports() -> None:
    above: set[str] = set()
    for room in described_rooms():
        above.add(room.removesuffix("/").removesuffix(".py"))
        path = PACKAGE / room
        files = path.rglob("*.py") if path.is_dir() else [path]
        assert {name for file in files for name in imported_rooms(file)} - above == set(), room


def imported_rooms(file: Path) -> Iterator[str]:
    """The rooms that `file` imports, its own too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("understudy."):
            yield (node.module or "").split(".")[1]


def test_architecture_names_only_what_is_in_the_code() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    names = {code for code in CODE.findall(prose(ARCHITECTURE)) if re.fullmatch(r"[A-Z]\w+", code)}
    missing = {name for name in names if not re.search(rf"\b{name}\b", source)}
    assert missing == set()


def settings_keys() -> set[str]:
    return {
        f"{section}.{name}" for section in Settings.model_fields for name in section_fields(section)
    }


def test_configuration_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `(.*?)` \|", prose(CONFIGURATION), re.MULTILINE)
    assert dict(rows) == {key: shown_default(key) for key in settings_keys()}


def shown_default(key: str) -> str:
    section, _, name = key.partition(".")
    field = section_fields(section)[name]
    default = field.get_default(call_default_factory=True)
    if default is None:
        return "(not set)"
    if hasattr(default, "get_secret_value"):
        default = default.get_secret_value()
    return json.dumps(str(default) if isinstance(default, Path) else default, ensure_ascii=False)


@pytest.mark.parametrize("document", DOCS, ids=by_document)
def test_settings_that_are_named_exist(document: Path) -> None:
    sections = "|".join(Settings.model_fields)
    pattern = re.compile(rf"(?:{sections})\.[a-z_]+")
    # `auth.secret` is a file as well; modules and other files are no settings.
    named = {
        match[0]
        for code in CODE.findall(prose(document))
        if (match := pattern.match(code)) and not code.endswith((".py", ".announced", ".token"))
    }
    assert named - settings_keys() == set()


# --- the command line


def click_commands() -> dict[str, Any]:
    """Every subcommand by name, those of groups as `db check`."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        if inner is None:
            found[name] = command
        else:
            found |= {f"{name} {inner_name}": c for inner_name, c in inner.items()}
    return found


COMMANDS = click_commands()
OPTIONS = {
    name: {o for parameter in command.params for o in parameter.opts if o.startswith("--")}
    | {"--help"}
    for name, command in COMMANDS.items()
}


def check_understudy(words: list[str]) -> None:
    """The subcommand in `words`, which follow `understudy`, exists and has the options named."""
    name = next((n for n in COMMANDS if words[: len(n.split())] == n.split()), None)
    assert name is not None, f"understudy has no command {words[:2]}"
    for word in words[len(name.split()) :]:
        if word.startswith("--"):
            assert word.partition("=")[0] in OPTIONS[name], f"understudy {name} has no {word}"


def uses_of_understudy() -> Iterator[str]:
    """Everything in the documents that is written as a call of `understudy`."""
    for document in DOCS:
        yield from (code for code in CODE.findall(prose(document)))
    for block in blocks("console", "sh"):
        yield from re.split(r"[\n|&]", block.text)


def test_calls_of_understudy_name_commands_and_options_that_exist() -> None:
    call = re.compile(rf"(?:^|[\s/])understudy ((?:{'|'.join(COMMANDS)})\b[^\n;]*)")
    seen: set[str] = set()
    for text in uses_of_understudy():
        match = call.search(text)
        if match:
            words = match[1].split()
            check_understudy(words)
            seen.add(next(n for n in COMMANDS if words[: len(n.split())] == n.split()))
    assert seen == set(COMMANDS), "every subcommand is mentioned"


@pytest.mark.parametrize("document", DOCS, ids=by_document)
def test_options_named_in_the_text_exist(document: Path) -> None:
    known = set().union(*OPTIONS.values())
    named = {
        option
        for code in CODE.findall(prose(document))
        if not code.startswith(("docker", "pip"))
        for option in OPTION.findall(code)
    }
    assert named - known == set()


def test_help_lists_every_option() -> None:
    from typer.testing import CliRunner

    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
    for name, options in OPTIONS.items():
        shown = runner.invoke(app, [*name.split(), "--help"])
        assert shown.exit_code == 0
        assert options - set(OPTION.findall(shown.output)) == set(), f"understudy {name} --help"


# --- commands that are not run


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in words if "=" not in word]
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"no target {target}"
    for word in set(words) - set(targets):
        assert re.search(rf"^{word.partition('=')[0]} \?=", makefile, re.MULTILINE), word


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"
    for word in words[1:]:
        if word == "--upgrade":
            continue
        match = re.fullmatch(r"([\w-]+)(?:\[(\w+)\])?", word)
        assert match is not None, word
        assert match[1] == PROJECT["project"]["name"]
        assert match[2] is None or match[2] in PROJECT["project"]["optional-dependencies"]


def check_docker(words: list[str]) -> None:
    assert (ROOT / "Dockerfile").is_file()
    assert words[0] == "compose"
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert words[1] in {"up", "logs", "exec", "down"}
    services = [word for word in words[2:] if not word.startswith("--")][:1]
    assert set(services) <= set(compose["services"])
    if words[1] == "exec":
        assert words[3] == "understudy"
        check_understudy(words[4:])


def check_systemctl(words: list[str]) -> None:
    assert words[-1] == "understudy"
    assert words[0] in {"enable", "restart", "start", "stop", "status"}
    (unit,) = blocks("ini")
    start = re.search(r"^ExecStart=\S+/understudy (.+)$", unit.text, re.MULTILINE)
    assert start is not None
    check_understudy(start[1].split())


def check_system_tool(words: list[str]) -> None:
    """Tools of the operating system: there is nothing of ours in their arguments."""
    assert words


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "pip": check_pip,
    "docker": check_docker,
    "systemctl": check_systemctl,
    "understudy": check_understudy,
    "useradd": check_system_tool,
    "python3": check_system_tool,
}
ASSIGNMENT = re.compile(rf"({ENV_PREFIX}\w+)=(.*)")


def without_settings(words: list[str]) -> list[str]:
    """The command in `words`, once the settings before it have been read."""
    while match := ASSIGNMENT.fullmatch(words[0]):
        load_settings(env={match[1]: match[2]}, env_file=None)
        words = words[1:]
    return words


@pytest.mark.parametrize("document", DOCS, ids=by_document)
def test_commands_that_are_not_run_name_what_exists(document: Path) -> None:
    for block in blocks("sh"):
        if block.document != document:
            continue
        for line in block.text.splitlines():
            words = without_settings(shlex.split(line))
            if words[0] == "sudo":
                words = words[1:]
            tool = Path(words[0]).name
            assert tool in CHECKS, f"no check for {line!r}: make it `console` or add one"
            CHECKS[tool](words[1:])


# --- examples that are read


def test_examples_of_settings_are_valid(tmp_path: Path) -> None:
    for number, block in enumerate(blocks("toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block.text, encoding="utf-8")
        load_settings(file, env={}, env_file=None)
    for number, block in enumerate(blocks("env")):
        file = tmp_path / f"{number}.env"
        file.write_text(block.text, encoding="utf-8")
        assert load_settings(env={}, env_file=file) != Settings()


def test_examples_of_personas_are_valid(tmp_path: Path) -> None:
    for block in blocks("yaml"):
        file = tmp_path / "example.yaml"
        file.write_text(block.text, encoding="utf-8")
        assert read_persona(file).system_prompt


def test_examples_of_recordings_are_valid(tmp_path: Path) -> None:
    for block in blocks("jsonl"):
        file = tmp_path / "recording.jsonl"
        file.write_text(block.text, encoding="utf-8")
        events = list(read_recording(file))
        assert [event for event in events if isinstance(event, BadLine)] == []
        assert len(events) == len(block.text.splitlines())


def test_examples_of_json_are_valid() -> None:
    for block in blocks("json"):
        assert isinstance(json.loads(block.text), dict)


# --- examples that are run


class Server(NamedTuple):
    """`understudy serve` in a folder that looks like a checkout."""

    address: str
    folder: Path
    env: dict[str, str]

    def aim(self, text: str) -> str:
        """`text` with the documents' address replaced by this server's."""
        if re.search(r"\bunderstudy chat\b", text) and "--url" not in text:
            text = re.sub(r"\bunderstudy chat\b", rf"\g<0> --url http://{ADDRESS}", text)
        return text.replace(ADDRESS, self.address)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "src").symlink_to(ROOT / "src")
    bin_folder = Path(sys.executable).parent
    ours = tuple(ALIASES)
    env = {k: v for k, v in os.environ.items() if not k.startswith((ENV_PREFIX, *ours))}
    env |= {
        "PATH": f"{bin_folder}{os.pathsep}{env['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "UNDERSTUDY_BRAIN__WORDS_PER_SECOND": "0",
        "UNDERSTUDY_BRAIN__LOCAL_URLS": "",
    }
    with (folder / "serve.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            ["understudy", "serve", "--port", "0"],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            log.seek(0)
            match = re.fullmatch(r"Understudy is ready on http://(\S+)\n", ready)
            assert match, f"{ready}{log.read()}"
            yield Server(match[1], folder, env)
        finally:
            process.terminate()
            process.communicate(timeout=SECONDS)
    assert not (folder / "understudy-data" / "understudy.db-wal").exists(), "it closes its database"


CONSOLE_DOCUMENTS = [d for d in DOCS if any(b.document == d for b in blocks("console"))]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("document", CONSOLE_DOCUMENTS, ids=by_document)
def test_commands_do_what_is_shown(document: Path, server: Server) -> None:
    listed = [c for b in blocks("console") if b.document == document for c in commands(b)]
    script = "\n".join(
        f"{server.aim(command.text)}\nstatus=$?; echo; echo '{MARK}'$status" for command in listed
    )
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=server.folder,
        env=server.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    outputs = re.split(rf"^{MARK}(\d+)\n", result.stdout, flags=re.MULTILINE)
    assert len(outputs) == 2 * len(listed) + 1, result.stdout
    for command, output, status in zip(listed, outputs[::2], outputs[1::2], strict=False):
        assert status == "0", f"$ {command.text}\n{output}"
        missing = first_missing(command.shown, output.splitlines())
        assert missing is None, f"$ {command.text}\n{output}\nshown but not printed: {missing}"


def first_missing(shown: list[str], printed: list[str]) -> str | None:
    """The first of the `shown` lines that is not `printed` in its order."""
    lines = iter(printed)
    for line in shown:
        pattern = re.compile(re.escape(line.rstrip()).replace("…", ".*"))
        if line.strip() not in {"", "…"} and not any(pattern.search(text) for text in lines):
            return line
    return None


def by_socket(block: Block) -> str:
    address = re.search(rf"ws://{ADDRESS}(/[\w/]+)", block.text)
    return address[1] if address else block.document.stem


@pytest.mark.parametrize("block", blocks("python"), ids=by_socket)
def test_python_examples_run(block: Block, server: Server) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", server.aim(block.text)],
        cwd=server.folder,
        env=server.env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_api_lists_exactly_the_routes_there_are(server: Server) -> None:
    import httpx2

    document = httpx2.get(f"http://{server.address}/openapi.json").json()
    routes = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    listed = re.findall(r"^\| `((?:GET|POST|PUT|DELETE) /\S*)` \|", prose(API), re.MULTILINE)
    assert set(listed) == routes
    assert len(listed) == len(routes)


def test_pages_that_are_named_are_served(server: Server) -> None:
    import httpx2

    pages = re.search(r"^Pages: (.*?)\. Sockets", prose(API), re.MULTILINE | re.DOTALL)
    assert pages is not None
    for page in CODE.findall(pages[1]):
        assert httpx2.get(f"http://{server.address}{page}").status_code == 200, page
