"""The mood of a recorded chat over its whole length.

Owns the walk through a recording: the same events give the same readings. Does not own the meter.
"""

from collections.abc import Iterable, Iterator

from understudy.events import ChatMessage, Event, Moderation, MoodReading
from understudy.mood.lexicon import Lexicon
from understudy.mood.meter import Meter, MeterSettings


def mood_curve(
    events: Iterable[Event], lexicon: Lexicon, settings: MeterSettings | None = None
) -> Iterator[MoodReading]:
    """The readings of one channel's recording, whose events come in order of time."""
    meter: Meter | None = None
    for event in events:
        if not isinstance(event, ChatMessage | Moderation):
            continue
        if meter is None:
            meter = Meter(event.channel, settings)
        yield from meter.advance(event.ts)
        if isinstance(event, ChatMessage):
            meter.add(event, lexicon.score(event.text), event.ts)
        else:
            meter.take_back(event, event.ts)
        if (reading := meter.take(event.ts)) is not None:
            yield reading
