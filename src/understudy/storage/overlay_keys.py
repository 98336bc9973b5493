"""Read-only keys for overlays, so that a browser source needs no account.

Owns the table `overlay_key`. A key is 32 random bytes; only its SHA-256 is stored, so a stolen
database opens no overlay (a slow password hash would add nothing to 256 bits of chance).
"""

import hashlib
import secrets
from collections.abc import Sequence

import msgspec
from sqlalchemy import insert, select, update

from understudy.events import new_id, now_ms
from understudy.storage.engine import Database
from understudy.storage.tables import overlay_key
from understudy.storage.upsert import storable


class OverlayKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be listed; times in ms, `revoked` None while the key is good."""

    id: str
    overlay: str
    label: str
    created: int
    revoked: int | None = None


class OverlayKeys:
    """Makes, checks and revokes keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, overlay: str, label: str = "") -> tuple[str, str]:
        """A new key for `overlay`: its id, and the key itself, which is never to be had again."""
        key = secrets.token_urlsafe(32)
        key_id = new_id("ok_")
        values = {
            "id": key_id,
            "overlay": storable(overlay),
            "label": storable(label),
            "key_hash": _hash(key),
            "created": now_ms(),
        }
        async with self._database.write() as connection:
            await connection.execute(insert(overlay_key).values(values))
        return key_id, key

    async def verify(self, overlay: str, key: str) -> bool:
        """Whether `key` is good for `overlay` now."""
        # The look-up is by hash: how long it takes says nothing about a key one does not have.
        statement = select(overlay_key.c.id).where(
            overlay_key.c.key_hash == _hash(key),
            overlay_key.c.overlay == storable(overlay),
            overlay_key.c.revoked.is_(None),
        )
        async with self._database.read() as connection:
            return (await connection.execute(statement)).first() is not None

    async def revoke(self, key_id: str) -> bool:
        """End the key with this id for good; False when there is no such key in force."""
        statement = (
            update(overlay_key)
            .where(overlay_key.c.id == storable(key_id), overlay_key.c.revoked.is_(None))
            .values(revoked=now_ms())
            .returning(overlay_key.c.id)
        )
        async with self._database.write() as connection:
            return (await connection.execute(statement)).first() is not None

    async def list(self) -> Sequence[OverlayKey]:
        """All keys, revoked ones too, oldest first."""
        key = overlay_key.c
        statement = select(key.id, key.overlay, key.label, key.created, key.revoked)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.order_by(key.created, key.id))).all()
        return [
            OverlayKey(
                id=row.id,
                overlay=row.overlay,
                label=row.label,
                created=row.created,
                revoked=row.revoked,
            )
            for row in rows
        ]


def _hash(key: str) -> str:
    # Any text at all may be offered as a key.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
