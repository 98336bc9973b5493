"""The Python examples, run as a user runs them but for the address."""

import asyncio
import sys
from pathlib import Path

from tests.serving import running, settings_for

FOLDER = Path(__file__).resolve().parent.parent.parent / "examples" / "python"


async def run_at(url: str, name: str, said: str = "") -> str:
    """What the example prints when its server is at `url` and a person types `said`."""
    code = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code.replace("http://127.0.0.1:8000", url)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(said.encode())
    assert process.returncode == 0
    return out.decode()


async def test_chat(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        out = await run_at(server.url, "chat", "hello there\ntell me a joke\n\n")
    assert "You talk to default" in out
    assert len(out.split()) > 15


async def test_the_openai_sdk(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        assert len((await run_at(server.url, "openai_sdk")).split()) > 2
