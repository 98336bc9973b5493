"""The processes of the relay benchmark: how each is started, asked, and what it costs.

Relays are pinned to one core, the model server and the viewers to another, so that they cannot
take time from each other. Linux only: costs are read from /proc.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from relay_client import Write

HERE = Path(__file__).resolve().parent
SECRET = "a-secret-that-only-this-benchmark-uses-0123456789"
LITELLM_KEY = "sk-bench"
START_SECONDS = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")

_UNDERSTUDY = """
[server]
stream_grace = {grace}
[auth]
required = true
secret = "{secret}"
[limits]
per_address = 1e9
per_session = 1e9
per_token = 1e9
streams = 5000
[brain]
provider = "{provider}"
model = "bench"
api_key = "sk-bench"
base_url = "{upstream}"
first_token_seconds = 120
reply_seconds = 600
"""
_LITELLM = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "{upstream}", api_key: sk-bench}}
general_settings: {{master_key: {key}}}
"""


def cores() -> tuple[int, int]:
    """The core of the relays, and that of everything else."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


@dataclass
class Relay:
    """A relay that runs, and how to ask it."""

    name: str
    port: int
    pid: int
    token: str = LITELLM_KEY
    sessions: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def is_understudy(self) -> bool:
        return self.name.startswith("understudy")

    @property
    def path(self) -> str:
        return "/chat/stream" if self.is_understudy else "/v1/chat/completions"

    def question(self, index: int, number: int) -> dict[str, Any]:
        """The body of a question of the viewer `index`."""
        text = f"Question {number}: what do you think of this level?"
        if self.is_understudy:
            return {"session_id": self.sessions[index], "message": text}
        messages = [{"role": "user", "content": text}]
        return {"model": "bench", "stream": True, "messages": messages}

    def writer(self) -> Write:
        """Writes questions as HTTP."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
            "Content-Length: "
        ).encode()

        def write(index: int, number: int) -> bytes:
            body = msgspec.json.encode(self.question(index, number))
            return b"%b%d\r\n\r\n%b" % (head, len(body), body)

        return write

    async def open_sessions(self, http: aiohttp.ClientSession, count: int) -> None:
        """Have `count` sessions, where the relay knows such a thing."""
        while self.is_understudy and len(self.sessions) < count:
            async with http.post(
                f"{self.url}/chat/start", json={"user_id": "ana"}, headers=self.headers
            ) as response:
                response.raise_for_status()
                self.sessions.append((await response.json())["session_id"])

    def cpu_seconds(self) -> float:
        """CPU seconds it and its children have used."""
        total = 0
        for pid in _tree(self.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(value) for value in fields[11:15])
        return total / _TICKS

    def memory(self) -> float:
        """MiB it and its children hold (proportional set size)."""
        total = 0
        for pid in _tree(self.pid):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(x.split()[1]) for x in rollup.splitlines() if x.startswith("Pss:"))
        return total / 1024


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    with contextlib.suppress(OSError):  # kernels may lack it, and children may end meanwhile
        for child in children.read_text().split():
            found += _tree(int(child))
    return found


class Launcher:
    """Starts relays in front of the model server at `upstream`; `litellm` is its venv."""

    def __init__(self, upstream_port: int, upstream_pid: int, litellm: Path, grace: float) -> None:
        self._upstream = f"http://127.0.0.1:{upstream_port}/v1"
        self._direct = (upstream_port, upstream_pid)
        self._litellm = litellm
        self._grace = grace

    @contextlib.asynccontextmanager
    async def started(self, name: str) -> AsyncIterator[Relay]:
        """The relay `name`, until the block is left."""
        if name == "direct":
            yield Relay(name, *self._direct)
            return
        with tempfile.TemporaryDirectory() as temporary:
            folder, port = Path(temporary), free_port()
            command, environment = self._command(name, folder, port)
            with process(command, cores()[0], folder, environment) as pid:
                await listening(port, pid, folder)
                relay = Relay(name, port, pid)
                if relay.is_understudy:
                    relay.token = _viewer_token()
                yield relay

    def _command(self, name: str, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        if name == "naive":
            naive = [sys.executable, str(HERE / "relay_naive.py")]
            return [*naive, "--port", str(port), "--upstream", self._upstream], {}
        if name == "litellm":
            config = folder / "litellm.yaml"
            config.write_text(_LITELLM.format(upstream=self._upstream, key=LITELLM_KEY))
            litellm = [str(self._litellm / "bin" / "litellm"), "--config", str(config)]
            # Without this it first fetches a list of prices from the network.
            offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
            return [*litellm, "--host", "127.0.0.1", "--port", str(port)], offline
        provider = "official" if name == "understudy, SDK" else "openai"
        (folder / "understudy.toml").write_text(
            _UNDERSTUDY.format(
                provider=provider, upstream=self._upstream, secret=SECRET, grace=self._grace
            )
        )
        _install_plugin(folder)
        understudy = [sys.executable, "-m", "understudy", "serve", "--data", str(folder / "data")]
        path = os.pathsep.join([str(folder), str(HERE)])
        return [*understudy, "--port", str(port)], {"PYTHONPATH": path}


def _install_plugin(folder: Path) -> None:
    """What `pip install` of a package with the provider `official` would leave behind."""
    metadata = folder / "relay_official-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: relay-official\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[understudy.brains]\nofficial = relay_official:make_official\n"
    )


def _viewer_token() -> str:
    from understudy.server.auth import issue_token

    return issue_token(SECRET, "ana", "viewer", timedelta(days=1))


@contextlib.contextmanager
def process(
    command: list[str], core: int, folder: Path, environment: dict[str, str]
) -> Iterator[int]:
    """A process on one core; what it says goes to `log` in `folder`. Gives its id."""
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            yield child.pid
        finally:
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def listening(port: int, pid: int, folder: Path) -> None:
    """Wait until the process accepts connections on `port`."""
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while _runs(pid) and asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise SystemExit(f"a server did not start:\n{_said(folder)}")


def _runs(pid: int) -> bool:
    # Of a process that has ended and was not waited for, only the entry is left.
    return os.path.exists(f"/proc/{pid}/exe")


def _said(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-4000:]


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[tuple[int, int]]:
    """The model server: its port and process."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [sys.executable, str(HERE / "relay_upstream.py"), "--port", str(port)]
        path = {"PYTHONPATH": str(HERE.parent)}
        with process(command, cores()[1], Path(folder), path) as pid:
            await listening(port, pid, Path(folder))
            yield port, pid


def install_litellm(folder: Path) -> Path:
    """LiteLLM's proxy, newest, in a venv of its own."""
    print("installing litellm[proxy] (minutes; --litellm PATH uses a venv that has it)")
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", "litellm[proxy]"], check=True)
    return folder


def version_of(environment: Path) -> str:
    """The version of LiteLLM in a venv."""
    code = "import importlib.metadata as m; print(m.version('litellm'))"
    return subprocess.check_output([environment / "bin" / "python", "-c", code], text=True).strip()
