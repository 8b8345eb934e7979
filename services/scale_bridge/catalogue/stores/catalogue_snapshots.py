"""Snapshots of catalogues at some versions of their streams, so that few events are folded.

A snapshot may be old or missing: then more of the log is read. The log has all of it.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.scale_bridge import DeviceId
from libs.postgres import query
from libs.postgres.pool import Pool
from services.scale_bridge.catalogue.domain.catalogue import Catalogue
from services.scale_bridge.catalogue.domain.shop_price import TakenPrice

LATEST: Final = """
SELECT revision, content, version, confirmed, since, valid, on_scale, taken FROM catalogue_copy
WHERE tenant = $1 AND device_id = $2 AND version IS NOT NULL
    AND ($3::bigint IS NULL OR revision <= $3)
ORDER BY version DESC LIMIT 1
"""
SAVE: Final = """
INSERT INTO catalogue_copy AS known
    (tenant, device_id, revision, content, version, confirmed, since, valid, on_scale, taken)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant, device_id, revision, content) DO UPDATE SET
    version = excluded.version, confirmed = excluded.confirmed, since = excluded.since,
    valid = excluded.valid, on_scale = excluded.on_scale, taken = excluded.taken
WHERE known.version IS NULL
"""
DELETE: Final = "DELETE FROM catalogue_copy WHERE tenant = $1 AND device_id = $2"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, TakenPrice]).decode


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A catalogue at a version of its stream, without the document, whose MD5 is `content`."""

    catalogue: Catalogue
    content: str
    version: int


async def latest(
    pool: Pool, tenant: str, device_id: DeviceId, *, up_to: int | None = None
) -> Snapshot | None:
    """The latest snapshot, or the latest of a revision up to `up_to`. Raises Unavailable."""
    row = await query.fetchrow(pool, LATEST, tenant, device_id, up_to)
    if row is None:
        return None
    taken = _decode(row["taken"]) if row["taken"] else {}
    catalogue = query.row_as(Catalogue, row, taken=taken, document=None)
    return Snapshot(catalogue, row["content"], row["version"])


async def save(pool: Pool, tenant: str, device_id: DeviceId, snapshot: Snapshot) -> None:
    """Save a snapshot, whose document is stored (see `document_store.put`). Safe to repeat.

    Raises Unavailable.
    """
    catalogue = snapshot.catalogue
    await query.execute(
        pool,
        SAVE,
        tenant,
        device_id,
        catalogue.revision,
        snapshot.content,
        snapshot.version,
        catalogue.confirmed,
        catalogue.since,
        catalogue.valid,
        catalogue.on_scale,
        _encode(catalogue.taken).decode() if catalogue.taken else None,
    )


async def delete(pool: Pool, tenant: str, device_id: DeviceId) -> None:
    """Delete the snapshots of a removed device. Safe to repeat. Raises Unavailable."""
    await query.execute(pool, DELETE, tenant, device_id)
