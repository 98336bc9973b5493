"""The chat of a live stream on YouTube, read through Google's official API.

Owns the connection (`source`), the requests and their errors (`api`) and the meaning of a message
(`messages`). Does not send anything to YouTube.
"""

from understudy.sources.youtube.api import YouTubeApi, YouTubeError
from understudy.sources.youtube.source import YouTubeChat

__all__ = ["YouTubeApi", "YouTubeChat", "YouTubeError"]
