"""The Python examples, run as a user runs them but for the address."""

import asyncio
import sys
from pathlib import Path

from tests.serving import running, settings_for
from tests.waiting import until
from understudy.events import ChatMessage

FOLDER = Path(__file__).resolve().parent.parent.parent / "examples" / "python"


async def run_at(url: str, name: str, said: str = "") -> str:
    """What the example prints when its server is at `url` and a person types `said`."""
    process = await start(url, name)
    out, _ = await process.communicate(said.encode())
    assert process.returncode == 0
    return out.decode()


async def start(url: str, name: str) -> asyncio.subprocess.Process:
    code = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", code.replace("http://127.0.0.1:8000", url)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def test_chat(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        out = await run_at(server.url, "chat", "hello there\ntell me a joke\n\n")
    assert "You talk to default" in out
    assert len(out.split()) > 15


async def test_the_openai_sdk(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        assert len((await run_at(server.url, "openai_sdk")).split()) > 2


async def test_live(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        process = await start(server.url, "live")
        assert process.stdout is not None
        services = server.application.services
        await until(lambda: services.metrics.sockets.labels("/ws/live")._value.get() == 1)
        message = ChatMessage(id="m1", channel="ana_plays", ts=1, user="ben", text="Hi there")
        await services.bus.publish(message)
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert line.decode() == "ana_plays chat Hi there\n"
        process.terminate()
        await process.wait()
