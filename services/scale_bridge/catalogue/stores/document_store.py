"""The documents of catalogues by their MD5: stored before the event that names them, immutable.

A document is deleted when no revision that can be requested needs it.
"""

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Final

from contracts.scale_bridge import DeviceId
from libs.postgres import query
from libs.postgres.pool import Pool, acquire
from services.scale_bridge.driver.domain.document import Document, digest, products, serialize

LARGE: Final = 256 * 1024
"""Documents of this size in bytes, or larger, are parsed and serialized in a thread."""

PUT: Final = """
INSERT INTO content (tenant, md5, file, items) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, md5) DO UPDATE SET created_at = now()
"""
SAVE: Final = """
INSERT INTO catalogue_copy (tenant, device_id, revision, content) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, device_id, revision, content) DO UPDATE SET kept_at = now()
"""
GET: Final = "SELECT md5, file FROM content WHERE tenant = $1 AND md5 = any($2::text[])"

TIDY_COPIES: Final = """
WITH newest AS (
    SELECT tenant, device_id, max(revision) AS revision FROM catalogue_copy
    WHERE version IS NOT NULL GROUP BY tenant, device_id
), first AS (
    SELECT c.tenant, c.device_id, max(c.revision) AS revision
    FROM catalogue_copy c JOIN newest n USING (tenant, device_id)
    WHERE c.version IS NOT NULL AND c.revision <= greatest(n.revision - $1, 0)
    GROUP BY c.tenant, c.device_id
)
DELETE FROM catalogue_copy c USING first f
WHERE c.tenant = f.tenant AND c.device_id = f.device_id AND c.revision < f.revision
"""
"""The first revision that can be requested needs the last snapshot before it."""

TIDY_CONTENTS: Final = """
DELETE FROM content o WHERE o.created_at < now() - interval '1 hour' AND NOT EXISTS (
    SELECT 1 FROM catalogue_copy c WHERE c.tenant = o.tenant AND c.content = o.md5)
"""
"""A younger document may not be named by its event yet."""


async def put(
    pool: Pool, tenant: str, device_id: DeviceId, revision: int, document: Document
) -> str:
    """Store the document of a future revision; returns its MD5. Safe to repeat.

    Raises BadCatalogue if it cannot be serialized, Unavailable.
    """
    file = await write(document)
    md5 = digest(file)
    async with acquire(pool) as connection, connection.transaction():
        await connection.execute(PUT, tenant, md5, file, len(products(document)))
        await connection.execute(SAVE, tenant, device_id, revision, md5)
    return md5


async def get(pool: Pool, tenant: str, contents: Collection[str]) -> Mapping[str, Document]:
    """The documents by their MD5, without missing ones. Raises Unavailable."""
    if not contents:
        return {}
    rows = await query.fetch(pool, GET, tenant, list(contents))
    return {row["md5"]: await _read(row["file"]) for row in rows}


async def tidy(pool: Pool, *, revisions: int) -> int:
    """Delete what only revisions before the last `revisions` need; returns the number of documents.

    Raises Unavailable.
    """
    async with acquire(pool) as connection:
        await connection.execute(TIDY_COPIES, revisions)
        status = await connection.execute(TIDY_CONTENTS)
    return int(status.rpartition(" ")[2])


async def write(document: Document) -> bytes:
    """The document as compact JSON. Raises BadCatalogue."""
    if len(products(document)) * 300 < LARGE:
        return serialize(document)
    return await asyncio.to_thread(serialize, document)


async def _read(file: bytes) -> Document:
    if len(file) < LARGE:
        return _parsed(file)
    return await asyncio.to_thread(_parsed, file)


def _parsed(file: bytes) -> Document:
    document: Document = json.loads(file)
    return document
