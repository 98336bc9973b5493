"""One settings tree, read from `understudy.toml`, `.env`, the environment and flags.

Owns names, defaults and where a value came from. Does not own what a setting does.

Later sources win: defaults < `understudy.toml` < `.env` < environment < command-line flags.
"""

from understudy.config.chat import (
    DiscordSettings,
    MongoSettings,
    MoodSettings,
    TwitchSettings,
    YouTubeSettings,
)
from understudy.config.learning import LearningSettings
from understudy.config.loading import (
    ALIASES,
    ENV_PREFIX,
    SettingsError,
    load_settings,
    section_fields,
)
from understudy.config.sections import (
    AuthSettings,
    BrainSettings,
    BusSettings,
    Confirmation,
    DirectorSettings,
    EventReaction,
    LimitSettings,
    PersonaSettings,
    SafetySettings,
    ServerSettings,
    StorageSettings,
    ToolRole,
    ToolServer,
    ToolSettings,
)
from understudy.config.tree import Settings

__all__ = [
    "ALIASES",
    "ENV_PREFIX",
    "AuthSettings",
    "BrainSettings",
    "BusSettings",
    "Confirmation",
    "DirectorSettings",
    "DiscordSettings",
    "EventReaction",
    "LearningSettings",
    "LimitSettings",
    "MongoSettings",
    "MoodSettings",
    "PersonaSettings",
    "SafetySettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "StorageSettings",
    "ToolRole",
    "ToolServer",
    "ToolSettings",
    "TwitchSettings",
    "YouTubeSettings",
    "load_settings",
    "section_fields",
]
