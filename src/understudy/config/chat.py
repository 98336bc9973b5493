"""The sections of where chat comes from, and of what is made of it beside answers."""

from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from understudy.config.sections import Section


class TwitchSettings(Section):
    """`[twitch]`: the chats that are read, and the account that is logged in, if there is one."""

    channels: list[str] = Field([], description="channels to read")
    irc_url: str = Field(
        "wss://irc-ws.chat.twitch.tv:443", description="chat server: wss://, ws:// or tcp://"
    )
    client_id: str = Field("", description="your public application at dev.twitch.tv, to log in")
    id_url: str = Field("https://id.twitch.tv", description="where logins are made")
    helix_url: str = Field("https://api.twitch.tv/helix", description="the API")
    eventsub_url: str = Field("wss://eventsub.wss.twitch.tv/ws", description="the event server")
    send: bool = Field(False, description="say replies in the chat too; needs a login")


class YouTubeSettings(Section):
    """`[youtube]`: the chat of one live stream."""

    video: str = Field("", description="id of the live video; empty = nothing is read")
    channel: str = Field("", description="the name its chat gets here; empty = youtube")
    api_key: SecretStr = Field(SecretStr(""), description="key of the YouTube Data API")
    access_token: SecretStr = Field(SecretStr(""), description="OAuth token in place of a key")
    url: str = Field("https://www.googleapis.com/youtube/v3", description="the API")


class DiscordSettings(Section):
    """`[discord]`: text channels of a server; needs the extra `discord`."""

    token: SecretStr = Field(
        SecretStr(""), description="token of your bot; empty = nothing is read"
    )
    channels: dict[str, str] = Field({}, description="id of a text channel to its name here")

    @field_validator("channels")
    @classmethod
    def _are_ids(cls, channels: dict[str, str]) -> dict[str, str]:
        if not all(channel.isdecimal() for channel in channels):
            raise PydanticCustomError("ids", "the ids of text channels are numbers")
        return channels


class MoodSettings(Section):
    """`[mood]`: how the mood of a chat is read; times in seconds."""

    enabled: bool = Field(True, description="read the mood of every chat")
    classifier: Literal["auto", "lexicon", "transformers", "openai"] = Field(
        "auto",
        description="auto (what `understudy mood train` made, else lexicon), lexicon, transformers "
        "or openai (asks about every message)",
    )
    model: str = Field(
        "",
        description="of transformers: a folder or an id; of openai: a name, best a fine-tuned one",
    )
    half_life: float = Field(25.0, gt=0, description="time after which a message counts half")
    viewer_cap: float = Field(0.8, gt=0, description="messages that one viewer counts for at most")


class MongoSettings(Section):
    """`[mongo]`: a copy of the chat in MongoDB; needs the extra `mongo`."""

    url: SecretStr = Field(SecretStr(""), description="mongodb://… ; empty = no copy")
