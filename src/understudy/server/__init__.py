"""The HTTP API, the sockets and the pages, over the rooms the composition root wired.

Owns the wire: routes, frames, errors, tokens, limits. Does not own what happens behind it.
"""

from understudy.server.http import create_server
from understudy.server.services import Limits, Services

__all__ = ["Limits", "Services", "create_server"]
