"""How catalogues stood at some versions of their streams, so that only a part of the log is folded.

A copy may be old or missing: then more of the log is folded. What stands here the log says too.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.scale_bridge import DeviceId
from libs.postgres.pool import Pool, acquire
from services.scale_bridge.catalogue.domain.catalogue import Catalogue
from services.scale_bridge.catalogue.domain.shop_price import Taken

LATEST: Final = """
SELECT revision, content, version, confirmed, since, valid, on_scale, taken FROM catalogue_copy
WHERE tenant = $1 AND device_id = $2 AND version IS NOT NULL
    AND ($3::bigint IS NULL OR revision <= $3)
ORDER BY version DESC LIMIT 1
"""
MARK: Final = """
INSERT INTO catalogue_copy AS known
    (tenant, device_id, revision, content, version, confirmed, since, valid, on_scale, taken)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant, device_id, revision, content) DO UPDATE SET
    version = excluded.version, confirmed = excluded.confirmed, since = excluded.since,
    valid = excluded.valid, on_scale = excluded.on_scale, taken = excluded.taken
WHERE known.version IS NULL
"""
FORGET: Final = "DELETE FROM catalogue_copy WHERE tenant = $1 AND device_id = $2"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Taken]).decode


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy without its document, which is `content`, at a version of the stream."""

    copy: Catalogue
    content: str
    version: int


async def latest(
    pool: Pool, tenant: str, device_id: DeviceId, *, up_to: int | None = None
) -> Snapshot | None:
    """The latest there is, or the latest of a revision up to `up_to`. Raises Unavailable."""
    async with acquire(pool) as connection:
        row = await connection.fetchrow(LATEST, tenant, device_id, up_to)
    if row is None:
        return None
    copy = Catalogue(
        revision=row["revision"],
        confirmed=row["confirmed"],
        since=row["since"],
        valid=row["valid"],
        on_scale=row["on_scale"],
        taken=_decode(row["taken"]) if row["taken"] else {},
    )
    return Snapshot(copy, row["content"], row["version"])


async def mark(pool: Pool, tenant: str, device_id: DeviceId, kept: Snapshot) -> None:
    """Remember how a catalogue stood. Safe to repeat. Raises Unavailable.

    The content must be there, see `contents.put`.
    """
    copy = kept.copy
    async with acquire(pool) as connection:
        await connection.execute(
            MARK,
            tenant,
            device_id,
            copy.revision,
            kept.content,
            kept.version,
            copy.confirmed,
            copy.since,
            copy.valid,
            copy.on_scale,
            _encode(copy.taken).decode() if copy.taken else None,
        )


async def forget(pool: Pool, tenant: str, device_id: DeviceId) -> None:
    """Let go of the catalogues of a device that was removed. Safe to repeat."""
    async with acquire(pool) as connection:
        await connection.execute(FORGET, tenant, device_id)
