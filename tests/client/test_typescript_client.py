"""The TypeScript example, compiled and run by Node, against a running server."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.client.cutting_proxy import cutting
from tests.server.wire import PATIENT
from tests.serving import running, settings_for

ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = ROOT / "frontend" / "node_modules"
TSC = MODULES / "typescript" / "bin" / "tsc"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None or not TSC.is_file(), reason="needs Node and `npm ci` in frontend/"
)


async def run(*command: str | Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        NODE or "node", *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example and the client as plain JavaScript modules."""
    folder = tmp_path_factory.mktemp("typescript")
    (folder / "package.json").write_text('{"type": "module"}')
    options = [
        *("--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"),
        *("--lib", "es2022,dom,dom.iterable", "--types", "node", "--skipLibCheck", "--strict"),
        *("--typeRoots", MODULES / "@types", "--rootDir", ROOT, "--outDir", folder),
        *("--rewriteRelativeImportExtensions", "--erasableSyntaxOnly", "--verbatimModuleSyntax"),
    ]
    result = asyncio.run(run(TSC, *options, ROOT / "examples" / "typescript" / "chat.ts"))
    assert result[0] == 0, result
    return folder / "examples" / "typescript" / "chat.js"


async def test_it_streams(compiled: Path, tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        code, out, err = await run(compiled, "tell me a joke", server.url)
    assert (code, err) == (0, "")
    assert len(out.split()) >= 3


async def test_it_goes_on_after_a_lost_connection(compiled: Path, tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        # The session is started over the first connection, which stays open for the question.
        start = await server.http.post("/chat/start", json={"user_id": "example"})
        head = sum(len(f"{name}: {value}\r\n") for name, value in start.headers.items())
        async with cutting(server.url, [head + len(start.content) + 650, 500]) as proxy:
            code, out, err = await run(compiled, "tell me a joke", proxy.url)
        sent = b"".join(proxy.requests)
        assert (code, err) == (0, "")
        assert sent.count(b"POST /chat/stream") == 1
        assert b"last-event-id: run_" in sent.lower()
        experiences = server.application.services.experiences
        stored = [experience.response async for experience in experiences.iterate()]
    assert stored == [out.strip()]


async def test_a_refusal_is_one_sentence(compiled: Path) -> None:
    code, out, err = await run(compiled, "hi", "http://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert "check that Understudy is running" in err
    assert len(err.splitlines()) == 1
