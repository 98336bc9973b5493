"""Which version answers a reply.

Owns the draw of a canary's askers: sticky, so that nobody talks to two co-hosts in turn. Does not
own which versions are deployed (`versions.deploying`) nor whether they are loaded (`follower`).
"""

import hashlib
from collections.abc import Iterable

from understudy.storage.rows import BASE
from understudy.storage.versions import Deployment


class VersionChoice:
    """The deployments that count, by channel. For one thread."""

    def __init__(self) -> None:
        self._by_channel: dict[str, Deployment] = {}

    def choose(self, channel: str, asker: str) -> str:
        """The version for a reply to `asker` in `channel`; empty where nothing is deployed.

        Nobody (an empty asker) gets the live version, never a canary.
        """
        row = self._by_channel.get(channel)
        # The base in a channel means that it has no version of its own any more.
        if row is None or (row.version == BASE and channel):
            row = self._by_channel.get("")
        if row is None:
            return ""
        if row.share >= 1 or (asker and is_drawn(row, channel, asker)):
            return row.version
        return row.before

    def deployment(self, channel: str) -> Deployment | None:
        """The deployment that counts in just this channel; None without one."""
        return self._by_channel.get(channel)

    def put(self, deployments: Iterable[Deployment]) -> None:
        """Let these count from now on for new replies, each in its channel."""
        for row in deployments:
            self._by_channel[row.channel] = row


def is_drawn(canary: Deployment, channel: str, asker: str) -> bool:
    """Whether `asker` is among the canary's share: always the same for one canary.

    Another canary draws others, so that nobody has all the risk.
    """
    digest = hashlib.sha256(f"{canary.id}\n{channel}\n{asker}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8]) < canary.share * 2**64
