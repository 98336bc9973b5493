"""The rules of the house that no linter knows: sizes, imports, and what the repository may hold."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "understudy"
MODULES = sorted(PACKAGE.rglob("*.py"))

MODULE_LINES = 500
MODULE_LINES_WANTED = 400
FUNCTION_LINES = 60

# What no user should wait for when the program starts: seconds and megabytes each.
HEAVY = {
    "aiohttp",
    "alembic",
    "anthropic",
    "apsw",
    "asyncpg",
    "faster_whisper",
    "hypothesis",
    "mcp",
    "openai",
    "peft",
    "pytest",
    "scipy",
    "sklearn",
    "torch",
    "transformers",
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=relative(path))


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# --- modules


def too_long(limit: int) -> list[str]:
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    return [f"{relative(path)}: {lines}" for path, lines in counts.items() if lines > limit]


def test_modules_are_short() -> None:
    assert too_long(MODULE_LINES) == [], f"split what is over {MODULE_LINES} lines"


@pytest.mark.filterwarnings("default::UserWarning")
def test_modules_that_grow_long_are_pointed_out() -> None:
    growing = too_long(MODULE_LINES_WANTED)
    if growing:
        warnings.warn(f"over {MODULE_LINES_WANTED} lines: {', '.join(growing)}", stacklevel=1)
    assert len(growing) < len(MODULES) / 10, "most modules are small"


def test_functions_are_short() -> None:
    long = [
        f"{relative(path)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES
    ]
    assert long == [], f"split what is over {FUNCTION_LINES} lines"


def test_every_module_says_what_it_owns() -> None:
    silent = [relative(path) for path in MODULES if not ast.get_docstring(tree(path))]
    assert silent == []


def test_every_room_is_a_package() -> None:
    folders = {path.parent for path in MODULES if "migrations" not in path.parts}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_modules_are_named_by_what_they_hold() -> None:
    vague = {"utils", "util", "helpers", "common", "misc"}
    assert [relative(path) for path in MODULES if path.stem in vague] == []


# --- imports


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_middleware_is_pure_asgi() -> None:
    # Starlette's BaseHTTPMiddleware puts a task and a queue between a stream and its client.
    users = [
        relative(path)
        for path in MODULES
        for name in imported_names(path)
        if name.endswith("BaseHTTPMiddleware")
    ]
    assert users == []


def test_the_layers_name_every_room() -> None:
    (contract,) = pyproject()["tool"]["importlinter"]["contracts"]
    layers = {layer.removeprefix("understudy.") for layer in contract["layers"]}
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    rooms |= {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert rooms - layers == set(), "add the new room to [tool.importlinter] in pyproject.toml"


# Runs before the import and sees every file opened for writing, socket and process.
WATCHED_IMPORT = """
import importlib, json, sys, threading
acts = []
def watch(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        acts.append(f"writes {args[0]}")
    elif event in {"socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.mkdir"}:
        acts.append(event)
sys.addaudithook(watch)
importlib.import_module(sys.argv[1])
acts += [f"starts thread {thread.name}" for thread in threading.enumerate()[1:]]
print(json.dumps({"modules": sorted(sys.modules), "acts": acts}))
"""


@pytest.mark.parametrize(
    ("name", "late"),
    [
        ("understudy.app", HEAVY),
        # `--help` and the terminal client need neither the server nor the database.
        ("understudy.cli", HEAVY | {"fastapi", "sqlalchemy", "uvicorn"}),
        # Nor does making a token.
        ("understudy.server.auth", HEAVY | {"fastapi", "sqlalchemy", "uvicorn"}),
    ],
)
def test_importing_the_program_is_light_and_does_nothing(
    name: str, late: set[str], tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", WATCHED_IMPORT, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["acts"] == []
    assert late & {module.partition(".")[0] for module in report["modules"]} == set()
    assert list(tmp_path.iterdir()) == []


# --- what the repository holds


@cache
def repository_texts() -> dict[str, str]:
    """Text files that are tracked, or would be with the next commit, by their path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    texts: dict[str, str] = {}
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if not name or path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if b"\0" not in data:
            texts[name] = data.decode("utf-8")
    return texts


# Written in pieces, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(
    r"(?<![\w.*-])/(?:" + "|".join(["ro" + "ot", "wo" + "rk", "op" + "t"]) + ")/"
)
PACKAGE_INDEX = re.compile(
    "pypi" + r"\.org/simple|" + "registry" + r"\.npmjs\.org|--" + "index-url"
)


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_INDEX], ids=["paths", "package indexes"])
def test_nothing_of_a_machine_is_in_the_repository(pattern: re.Pattern[str]) -> None:
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in repository_texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_no_lock_file_names_where_its_packages_came_from() -> None:
    locks = {n: t for n, t in repository_texts().items() if n.endswith("package-lock.json")}
    assert [name for name, text in locks.items() if '"resolved": "http' in text] == []


def test_build_results_are_not_in_the_repository() -> None:
    built = re.compile(r"(^|/)(dist|node_modules|__pycache__)/|\.(pyc|db)$")
    assert [name for name in repository_texts() if built.search(name)] == []


# --- packaging


def requirements() -> list[Requirement]:
    """What the package, its extras and the developers' groups ask for."""
    project = pyproject()["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *pyproject()["dependency-groups"].values(),
    ]
    return [Requirement(entry) for entries in lists for entry in entries if isinstance(entry, str)]


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_constraints_pin_everything_that_is_asked_for() -> None:
    pinned: dict[str, list[str]] = {}
    for constraint in constraints():
        (version,) = [specifier.version for specifier in constraint.specifier]
        assert str(constraint.specifier) == f"=={version}"
        pinned.setdefault(canonicalize_name(constraint.name), []).append(version)
    stale = [
        str(requirement)
        for requirement in requirements()
        if not any(
            requirement.specifier.contains(version, prereleases=True)
            for version in pinned.get(canonicalize_name(requirement.name), [])
        )
    ]
    assert stale == [], "run `make constraints`"


def test_the_container_serves_what_compose_publishes_and_keeps() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"][
        "understudy"
    ]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (command,) = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    assert json.loads(command) == [
        "serve", "--host", "0.0.0.0", "--port", "8000", "--data", "/data",
    ]  # fmt: skip
    assert re.findall(r"^(?:EXPOSE|VOLUME) (\S+)$", dockerfile, re.MULTILINE) == ["/data", "8000"]
    assert [port.rpartition(":")[2] for port in service["ports"]] == ["8000"]
    assert [volume.partition(":")[2] for volume in service["volumes"]] == ["/data"]
    assert re.search(r"^USER (?!0$|root$)\S+$", dockerfile, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", dockerfile, re.MULTILINE)


def test_what_the_image_is_copied_from_reaches_the_builder() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE):
        for source in line.split()[:-1]:
            assert source.split("/")[0] in allowed
            assert (ROOT / source).exists(), f"{source} is not in the repository"
