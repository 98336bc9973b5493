"""The section of what is learned from the audience."""

from typing import Annotated, Literal

from pydantic import Field

from understudy.config.sections import Section

MAX_EXAMPLES = 10

Examples = Annotated[int, Field(ge=0, le=MAX_EXAMPLES)]


class LearningSettings(Section):
    """`[learning]`: what is learned from how replies are received."""

    examples: Examples = Field(
        3, description="liked replies to similar messages given to the model; 0 = none"
    )
    channel_examples: dict[str, Examples] = Field(
        {}, description="the same for single channels, by their names"
    )
    votes: bool = Field(True, description="viewers judge replies with !good and !bad, 👍 and 👎")
    reactions: bool = Field(True, description="judge replies by how the chat reacts to them")
    newcomer_minutes: float = Field(
        10.0, ge=0, description="votes of viewers seen for less than this do not count"
    )
    every: Literal["off", "night", "week"] = Field(
        "off", description="when a model is trained on what was learned"
    )
    hour: int = Field(4, ge=0, le=23, description="hour at which that begins, in tools.time_zone")
    weekday: int = Field(0, ge=0, le=6, description="day of the week for every = week; 0 = Monday")
    hours: float = Field(4.0, gt=0, le=24, description="how long it may still begin")
    new_replies: int = Field(300, ge=1, description="new replies that are worth a training")
    replay: float = Field(0.25, ge=0, le=0.9, description="share of older rows in a training")
    canary_share: float = Field(
        0.1, gt=0, lt=1, description="share of viewers who get a new version first"
    )
    server: Literal["none", "vllm", "ollama"] = Field(
        "none", description="what loads trained versions at brain.base_url"
    )
    server_models: str = Field(
        "", description="the models folder of the data directory as that server sees it"
    )

    def examples_for(self, channel: str) -> int:
        """How many examples replies in `channel` are given."""
        return self.channel_examples.get(channel, self.examples)
