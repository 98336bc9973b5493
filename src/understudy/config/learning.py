"""The section of what is learned from the audience."""

from typing import Annotated

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

    def examples_for(self, channel: str) -> int:
        """How many examples replies in `channel` are given."""
        return self.channel_examples.get(channel, self.examples)
