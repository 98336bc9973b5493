"""The sections of the settings but those of sources: names, defaults, and what a value may be.

Does not own how values are read (`loading`) nor what a setting does.
"""

import re
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A section of the settings: unknown keys are errors, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """`[server]`: where it listens and how long streams outlive their readers."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port; 0 takes a free one")
    data_dir: Path = Field(
        Path("understudy-data"), description="folder for everything Understudy writes"
    )
    cors_origins: list[str] = Field([], description="web origins that may call the API")
    stream_grace: float = Field(
        10.0, ge=0, description="seconds a reply goes on after its last reader left; 0 = stop"
    )
    run_ttl: float = Field(
        120.0, ge=0, description="seconds an ended reply can still be resumed token by token"
    )
    ping_interval: float = Field(10.0, gt=0, description="seconds between keep-alive comments")


class StorageSettings(Section):
    """`[storage]`: the database behind everything."""

    url: str = Field(
        "", description="sqlite+aiosqlite:///… or postgresql+asyncpg://…; empty = in the data dir"
    )
    queue_rows: int = Field(
        20_000, ge=100, description="rows that may wait for the disk before writers are held back"
    )


class BusSettings(Section):
    """`[bus]`: how events travel."""

    url: str = Field("", description="empty = in this process (the only bus so far)")


class AuthSettings(Section):
    """`[auth]`: who may call what."""

    required: bool | None = Field(
        None, description="ask for tokens; default: only when not listening on loopback"
    )
    secret: SecretStr = Field(
        SecretStr(""), description="signs tokens, at least 32 characters; empty = made on first use"
    )


class LimitSettings(Section):
    """`[limits]`: token buckets and sizes."""

    per_address: float = Field(600, gt=0, description="requests per minute from one address")
    per_session: float = Field(60, gt=0, description="messages per minute in one session")
    per_token: float = Field(600, gt=0, description="requests per minute with one token")
    burst: float = Field(2.0, ge=1, description="bucket size in multiples of ten seconds' worth")
    body_bytes: int = Field(65_536, ge=1024, description="largest request body in bytes")
    message_chars: int = Field(4_000, ge=1, description="longest message in characters")
    streams: int = Field(500, ge=1, description="replies under way at the same time")


class BrainSettings(Section):
    """`[brain]`: the model that answers."""

    provider: str = Field(
        "auto", description="auto, scripted, claude, openai, huggingface or a plug-in's name"
    )
    model: str = Field("", description="model name or folder; empty = the provider's default")
    base_url: str = Field("", description="OpenAI-compatible server to use instead of OpenAI's")
    api_key: SecretStr = Field(SecretStr(""), description="key of the chosen provider")
    anthropic_api_key: SecretStr = Field(SecretStr(""), description="key for Claude")
    openai_api_key: SecretStr = Field(SecretStr(""), description="key for OpenAI")
    hf_api_key: SecretStr = Field(SecretStr(""), description="token of the model hub")
    hf_model: str = Field(
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0", description="local model: an id or a folder"
    )
    local_urls: list[str] = Field(
        [
            "http://127.0.0.1:11434/v1",
            "http://127.0.0.1:1234/v1",
            "http://127.0.0.1:8080/v1",
            "http://127.0.0.1:8001/v1",
        ],
        description="local OpenAI-compatible servers that auto looks for",
    )
    fallback: list[str] = Field(
        [], description="providers asked in this order when the first fails; scripted is the last"
    )
    first_token_seconds: float = Field(30.0, gt=0, description="longest wait for the first token")
    reply_seconds: float = Field(120.0, gt=0, description="longest time for a whole reply")
    retries: int = Field(2, ge=0, description="further attempts before the first token")
    daily_budget: float = Field(0.0, ge=0, description="USD per day (UTC); 0 = no limit")
    channel_daily_budget: float = Field(
        0.0, ge=0, description="USD per channel and day (UTC); 0 = no limit"
    )
    device: str = Field("auto", description="where a local model runs: auto, cpu, cuda or mps")
    quantization: Literal["auto", "none", "4bit", "8bit"] = Field(
        "auto", description="of a local model; only with a GPU"
    )
    seed: int = Field(0, ge=0, description="makes the scripted brain repeatable; 0 = varied")
    words_per_second: float = Field(
        14.0, ge=0, description="pace of the scripted brain; 0 = as fast as it can"
    )
    context_tokens: int = Field(
        3_000, ge=200, description="most tokens of context given to the model (estimated)"
    )
    reply_tokens: int = Field(400, ge=16, description="longest reply in tokens (estimated)")


class PersonaSettings(Section):
    """`[persona]`: who the co-host is."""

    default: str = Field("default", description="persona of new sessions and of the stream")
    name: str = Field("Understudy", description="the co-host's name in chat")
    aliases: list[str] = Field(
        ["cohost", "co-host", "undy"], description="other names it listens to"
    )
    streamer: str = Field("", description="the streamer's name; empty = the channel's name")


class EventReaction(Section):
    """An entry of `director.events`: how the co-host reacts to one kind of stream event."""

    kind: Literal["sub", "resub", "gift", "raid", "cheer", "follow", "other"] = Field(
        description="the kind of stream event"
    )
    priority: float | None = Field(
        None, ge=0, description="points beside those of messages; 0 = no reaction"
    )
    template: str = Field(
        "", max_length=500, description="what the model is told, with {viewer} and {amount}"
    )

    @field_validator("template")
    @classmethod
    def _names_what_there_is(cls, template: str) -> str:
        unknown = set(re.findall(r"\{(\w*)\}", template)) - {"viewer", "amount"}
        if unknown:
            raise PydanticCustomError("template", "it may name {{viewer}} and {{amount}} only")
        return template


class DirectorSettings(Section):
    """`[director]`: which chat messages get an answer; times in seconds of stream time."""

    cooldown: float = Field(4.0, ge=0, description="pause after a reply")
    viewer_cooldown: float = Field(
        20.0, ge=0, description="pause before the same viewer is answered again unless addressed"
    )
    max_age: float = Field(15.0, gt=0, description="a waiting message older than this is let go")
    max_waiting: int = Field(32, ge=1, le=1_000, description="messages that may wait for an answer")
    fair_window: float = Field(300.0, gt=0, description="time over which replies are shared out")
    viewer_share: float = Field(
        0.2, gt=0, le=1, description="largest share of replies for one viewer while others wait"
    )
    ordinary_share: float = Field(
        0.5, ge=0, le=1, description="replies reserved for viewers without badge, bits or event"
    )
    crowd_window: float = Field(
        60.0, gt=0, description="time within which people who ask the same are a crowd"
    )
    quiet_after: float = Field(
        45.0, ge=0, description="silence after which small talk is answered too; 0 = never"
    )
    quiet_chat: Literal["silent", "ask", "continue"] = Field(
        "silent", description="what it does by itself then: nothing, ask the chat, or go on talking"
    )
    weight_mention: float = Field(3.0, description="points for speaking to the co-host")
    weight_reply: float = Field(3.0, description="points for a reply to the co-host")
    weight_question: float = Field(1.0, description="points for a question; half if it is to it")
    weight_small_talk: float = Field(0.5, description="points for small talk in a quiet chat")
    weight_first: float = Field(0.5, description="points for a first-time chatter")
    weight_badge: float = Field(0.25, description="points for a moderator, VIP or subscriber")
    weight_bits: float = Field(0.5, description="points for each power of ten in a message's bits")
    weight_crowd: float = Field(1.0, description="points for each doubling of a crowd")
    weight_relevance: float = Field(
        0.5, description="most points for being about what is talked of"
    )
    penalty_repeat: float = Field(1.0, ge=0, description="points off for what was just answered")
    penalty_shared: float = Field(1.0, ge=0, description="points off in a shared chat's other room")
    events: list[EventReaction] = Field(
        [], description="reactions to stream events in place of the built-in ones"
    )
    silent_control: float = Field(
        0.0, ge=0, le=0.2, description="share of answers withheld to learn what answers change"
    )
    bots: list[str] = Field(
        ["nightbot", "streamelements", "streamlabs", "moobot", "fossabot", "wizebot"],
        description="logins that are never answered",
    )
    command_prefix: str = Field("!", description="starts a command in stream chat")

    @field_validator("events")
    @classmethod
    def _are_of_different_kinds(cls, events: list[EventReaction]) -> list[EventReaction]:
        kinds = [event.kind for event in events]
        if len(set(kinds)) < len(kinds):
            raise PydanticCustomError("kinds", "a kind has two reactions")
        return events


class SafetySettings(Section):
    """`[safety]`: words that are never said or answered."""

    blocked_words: list[str] = Field([], description="extra words kept out, in and out")


ToolRole = Literal["streamer", "moderator", "everyone"]
"""For whom a tool may be called: the streamer alone, moderators too, or anyone who is answered."""

Confirmation = Literal["never", "always"]
"""Whether each call of a tool waits for a moderator."""


class ToolServer(Section):
    """An entry of `tools.servers`: a program to start, or the URL of a server that runs."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$",
        max_length=24,
        description="goes before the names of its tools",
    )
    command: str = Field("", description="program that speaks MCP on its standard input and output")
    args: list[str] = Field([], description="arguments of the program")
    env: dict[str, SecretStr] = Field({}, description="environment variables of the program")
    url: str = Field("", description="address of a server that speaks streamable HTTP")
    headers: dict[str, SecretStr] = Field({}, description="headers sent with every request")
    role: ToolRole = Field("streamer", description="for whom its tools may be called")
    confirm: Confirmation = Field("always", description="whether a moderator confirms each call")
    allow: list[str] = Field([], description="its tools that may be called; empty = all")

    @model_validator(mode="after")
    def _is_reached_one_way(self) -> "ToolServer":
        if bool(self.command) == bool(self.url):
            raise PydanticCustomError("transport", "it needs either a command or a url")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise PydanticCustomError("url", "its url does not begin with http:// or https://")
        return self


class ToolSettings(Section):
    """`[tools]`: what a brain may do besides talking, and for whom."""

    builtin: bool = Field(True, description="offer the co-host's own tools")
    time_zone: str = Field(
        "", description="the streamer's, such as Europe/Berlin; empty = this machine's"
    )
    seconds: float = Field(15.0, gt=0, description="longest time for one call")
    rounds: int = Field(4, ge=1, description="how often tools may be called for one reply")
    approval_seconds: float = Field(
        60.0, gt=0, description="how long a call waits for a moderator before it is let go"
    )
    result_chars: int = Field(4_000, ge=200, description="longest result given to the model")
    servers: list[ToolServer] = Field([], description="MCP servers whose tools may be called")

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key if name else name
        except (OSError, ValueError, KeyError):
            raise PydanticCustomError(
                "time_zone", "this machine knows no such time zone, use a name like Europe/Berlin"
            ) from None

    @field_validator("servers")
    @classmethod
    def _have_names_of_their_own(cls, servers: list[ToolServer]) -> list[ToolServer]:
        names = [server.name for server in servers]
        if len(set(names)) < len(names):
            raise PydanticCustomError("names", "two servers have the same name")
        return servers
