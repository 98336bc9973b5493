"""An MCP server's tools as tools of the co-host.

Owns their names, the bounds on what a server says about them, and the text of a result. Does not
own the connection (`mcp`). What a server says is data: it is cleaned, and cut to size.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from understudy.brains.base import ToolSpec
from understudy.config import ToolServer
from understudy.engine.tools.base import Caller, Tool, ToolError
from understudy.engine.tools.mcp_connection import Connection
from understudy.safety.text import clean
from understudy.safety.untrusted import defuse

MAX_TOOLS = 64
"""Tools of one server that are offered; models choose badly among more."""
MAX_DESCRIPTION = 1_000
MAX_SCHEMA = 16_000
"""Longest schema of arguments, in characters of JSON."""
NAME_CHARS = 64
"""Longest name of a tool that all providers accept."""
_SENTENCE_CHARS = 300

_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]+")


class McpTool(Tool):
    """A tool of a server, over the connection on which it was listed."""

    def __init__(
        self, server: ToolServer, spec: ToolSpec, name: str, connection: Connection
    ) -> None:
        self.spec = spec
        self.role = server.role
        self.confirm = server.confirm
        self._server = server.name
        self._name = name
        self._connection = connection

    async def call(self, arguments: dict[str, Any], caller: Caller) -> str:
        """The result as text; raises `ToolError`. Cancelling it tells the server to stop."""
        from mcp import MCPError, types

        client = self._connection.client
        if client is None:
            raise ToolError(f"the tool server {self._server} is not connected now")
        try:
            result = await client.call_tool(self._name, arguments)
        except MCPError as error:
            if error.code in {types.CONNECTION_CLOSED, types.INVALID_REQUEST}:
                # A call is well formed: what refuses it is a restarted server without our session.
                self._connection.end()
            if error.code == types.CONNECTION_CLOSED:
                raise ToolError(f"the tool server {self._server} has ended") from error
            raise ToolError(one_sentence(error.message)) from error
        text = _text_of(result)
        if result.is_error:
            raise ToolError(one_sentence(text) or "it failed and did not say why")
        return text


class Offer(msgspec.Struct, frozen=True):
    """What of a server's tools is offered, and in one sentence each what is not, and why."""

    tools: tuple[Tool, ...] = ()
    problems: tuple[str, ...] = ()


def make_offer(server: ToolServer, listed: Iterable[Any], connection: Connection) -> Offer:
    """The `listed` tools that the settings allow, in the order of the server."""
    allowed = {tool.name: tool for tool in listed if not server.allow or tool.name in server.allow}
    problems = [
        f"the tool server {server.name} has no tool {name}: check allow in tools.servers"
        for name in server.allow
        if name not in allowed
    ]
    if len(allowed) > MAX_TOOLS:
        problems.append(
            f"the tool server {server.name} has more than {MAX_TOOLS} tools: name those you want "
            "in allow of tools.servers"
        )
    tools: dict[str, Tool] = {}
    for tool in list(allowed.values())[:MAX_TOOLS]:
        parameters = _bounded(tool.input_schema)
        if parameters is None:
            problems.append(
                f"the tool {one_sentence(tool.name)} of {server.name} is left out: the schema of "
                "its arguments is too long or not of an object"
            )
            continue
        name = tool_name(server.name, tool.name, tools)
        description = defuse(tool.description or "")[:MAX_DESCRIPTION]
        tools[name] = McpTool(
            server, ToolSpec(name, description, parameters), tool.name, connection
        )
    return Offer(tuple(tools.values()), tuple(problems))


def tool_name(server: str, name: str, taken: Iterable[str] = ()) -> str:
    """`server__name` as all providers accept it, unlike the names that are `taken`."""
    wanted = _UNSAFE.sub("_", f"{server}__{name}")[:NAME_CHARS]
    taken = set(taken)
    found, number = wanted, 2
    while found in taken:
        suffix = f"_{number}"
        found, number = wanted[: NAME_CHARS - len(suffix)] + suffix, number + 1
    return found


def one_sentence(text: str) -> str:
    """What a server says, on one line of bounded length."""
    return " ".join(clean(text[: 4 * _SENTENCE_CHARS]).split())[:_SENTENCE_CHARS]


def _bounded(schema: Any) -> dict[str, Any] | None:
    """The schema, cleaned; None when it is too long or not of an object."""
    encoded = msgspec.json.encode(schema).decode()
    if len(encoded) > MAX_SCHEMA:
        return None
    cleaned: Any = msgspec.json.decode(clean(encoded))
    if not isinstance(cleaned, dict):
        return None
    parameters = cast(dict[str, Any], cleaned)
    return parameters if parameters.get("type") == "object" else None


def _text_of(result: Any) -> str:
    """The texts of a result, else its data as JSON; of other kinds of content, what they are."""
    blocks: Sequence[Any] = result.content
    texts = [_block_text(block) for block in blocks]
    if not any(texts) and result.structured_content is not None:
        return msgspec.json.encode(result.structured_content).decode()
    return "\n".join(text for text in texts if text)


def _block_text(block: Any) -> str:
    match block.type:
        case "text":
            return block.text
        case "resource":
            return getattr(block.resource, "text", "") or f"({block.resource.uri})"
        case "resource_link":
            return f"({block.name}: {block.uri})"
        case kind:
            return f"({kind})"
