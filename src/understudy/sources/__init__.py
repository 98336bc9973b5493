"""Where events come from.

Owns the `Source` interface and the readers of recorded chat. Does not own what becomes of the
events: a source hands each one to `publish` and knows nothing of its readers.
"""

from understudy.sources.base import Publish, Source
from understudy.sources.recorded import BadLine, Recorded
from understudy.sources.recordings import RecordingError, count_hint, read_recording

__all__ = [
    "BadLine",
    "Publish",
    "Recorded",
    "RecordingError",
    "Source",
    "count_hint",
    "read_recording",
]
