"""The build hook in real builds of a project with this one's layout and build settings."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INDEX = "src/understudy/web/dist/index.html"
IN_WHEEL = "understudy/web/dist/index.html"

NPM = """\
#!/bin/sh
echo "$*" >>"{calls}"
[ "$1" = ci ] && exit
mkdir -p ../src/understudy/web/dist
echo built >../src/understudy/web/dist/index.html
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="stands in for npm with a shell script")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the real build files, a package of one module and an unbuilt web app."""
    project = tmp_path / "project"
    (project / "src" / "understudy").mkdir(parents=True)
    (project / "frontend").mkdir()
    for name in ("pyproject.toml", "hatch_build.py", ".gitignore", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    shutil.copy(ROOT / "src/understudy/__init__.py", project / "src/understudy")
    return project


def build(
    project: Path, target: str = "wheel", *, npm: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run hatchling with nothing on PATH but a shell's tools and, when given, `npm`."""
    tools = project.parent / "bin"
    tools.mkdir(exist_ok=True)
    for tool in ("sh", "mkdir"):
        found = shutil.which(tool)
        assert found is not None
        if not (tools / tool).exists():
            (tools / tool).symlink_to(found)
    if npm is not None:
        (tools / "npm").write_text(npm)
        (tools / "npm").chmod(0o755)
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(project / "out")],
        cwd=project,
        env={"PATH": str(tools), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def wheel_files(project: Path) -> list[str]:
    (wheel,) = (project / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def write_index(project: Path) -> None:
    index = project / INDEX
    index.parent.mkdir(parents=True)
    index.write_text("built before")


def test_a_built_web_app_goes_into_the_wheel_without_node(project: Path) -> None:
    write_index(project)
    result = build(project)
    assert result.returncode == 0, result.stderr
    assert IN_WHEEL in wheel_files(project)


def test_npm_builds_the_web_app_when_it_is_missing(project: Path) -> None:
    calls = project / "calls"
    result = build(project, npm=NPM.replace("{calls}", str(calls)))
    assert result.returncode == 0, result.stderr
    assert calls.read_text().splitlines() == ["ci --no-audit --no-fund", "run build"]
    assert IN_WHEEL in wheel_files(project)


def test_a_build_without_node_says_what_to_install(project: Path) -> None:
    result = build(project)
    assert result.returncode != 0
    assert "needs Node >= 20.19 to be built: install it, then build again" in result.stderr
    assert not list(project.glob("out/*.whl"))


def test_a_failing_web_build_fails_the_build(project: Path) -> None:
    result = build(project, npm="#!/bin/sh\nexit 3\n")
    assert result.returncode != 0
    assert not list(project.glob("out/*.whl"))


def test_an_editable_install_goes_on_without_the_web_app(project: Path) -> None:
    result = build(project, "wheel:editable")
    assert result.returncode == 0, result.stderr
    assert "installed without the web app" in result.stdout + result.stderr


def test_the_web_app_can_be_left_out(project: Path) -> None:
    result = build(project, npm="#!/bin/sh\nexit 3\n", UNDERSTUDY_SKIP_UI="1")
    assert result.returncode == 0, result.stderr
    assert IN_WHEEL not in wheel_files(project)
    assert "understudy/__init__.py" in wheel_files(project)


def test_an_sdist_carries_the_web_app_so_that_it_builds_without_node(project: Path) -> None:
    write_index(project)
    assert build(project, "sdist").returncode == 0
    (sdist,) = (project / "out").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(project.parent / "unpacked", filter="data")
    (unpacked,) = (project.parent / "unpacked").iterdir()
    result = build(unpacked)
    assert result.returncode == 0, result.stderr
    assert IN_WHEEL in wheel_files(unpacked)
