"""The tree of all settings."""

from pathlib import Path

from understudy.config.chat import (
    DiscordSettings,
    MongoSettings,
    MoodSettings,
    TwitchSettings,
    YouTubeSettings,
)
from understudy.config.learning import LearningSettings
from understudy.config.sections import (
    AuthSettings,
    BrainSettings,
    BusSettings,
    DirectorSettings,
    LimitSettings,
    PersonaSettings,
    SafetySettings,
    Section,
    ServerSettings,
    StorageSettings,
    ToolSettings,
)


class Settings(Section):
    """Everything that can be set, by section."""

    server: ServerSettings = ServerSettings.model_construct()
    storage: StorageSettings = StorageSettings.model_construct()
    bus: BusSettings = BusSettings.model_construct()
    auth: AuthSettings = AuthSettings.model_construct()
    limits: LimitSettings = LimitSettings.model_construct()
    brain: BrainSettings = BrainSettings.model_construct()
    persona: PersonaSettings = PersonaSettings.model_construct()
    director: DirectorSettings = DirectorSettings.model_construct()
    safety: SafetySettings = SafetySettings.model_construct()
    tools: ToolSettings = ToolSettings.model_construct()
    twitch: TwitchSettings = TwitchSettings.model_construct()
    youtube: YouTubeSettings = YouTubeSettings.model_construct()
    discord: DiscordSettings = DiscordSettings.model_construct()
    mood: MoodSettings = MoodSettings.model_construct()
    mongo: MongoSettings = MongoSettings.model_construct()
    learning: LearningSettings = LearningSettings.model_construct()

    @property
    def data_dir(self) -> Path:
        """The data directory as an absolute path."""
        return self.server.data_dir.expanduser().absolute()

    @property
    def database_url(self) -> str:
        """The database's URL; by default a SQLite file in the data directory."""
        return self.storage.url or f"sqlite+aiosqlite:///{self.data_dir / 'understudy.db'}"

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.server.host in {"127.0.0.1", "::1", "localhost"}

    @property
    def auth_required(self) -> bool:
        """Whether callers need a token."""
        if self.auth.required is not None:
            return self.auth.required
        return not self.listens_on_loopback
