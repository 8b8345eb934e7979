"""Reading your own writes: wait until a read model has what a token names, or say it has not."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from libs.errors import Refused
from libs.messaging.projection import Projection
from libs.messaging.publisher import Lane
from libs.messaging.topics import topic_name


class TokenMalformed(Refused):
    """The consistency token is not one of ours."""


_PUBLISHED: Final = """
SELECT bool_and(
    pg_visible_in_snapshot(xid::xid8, published)
    OR (complete AND confirmed AND pg_visible_in_snapshot(xid::xid8, target))
) FROM relay, unnest($1::text[]) AS token (xid)
"""

_HEADS: Final = "SELECT topic, partition, last_seq FROM relay_heads WHERE topic = ANY($1)"

_BEHIND: Final = """
SELECT count(*) FROM unnest($2::text[], $3::int[], $4::bigint[]) AS head (topic, partition, seq)
LEFT JOIN (
    SELECT c.* FROM checkpoints c JOIN generations g USING (projection, generation)
    WHERE c.projection = $1 AND g.state = 'live'
) AS place USING (topic, partition)
WHERE place.relay_seq IS NULL OR place.relay_seq < head.seq
"""


class Freshness:
    """Knows how far the projections of this service have come.

    The pool needs sight of the messaging tables only. `deadline` is in seconds.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        projections: Sequence[Projection[Any]],
        *,
        prefix: str,
        deadline: float = 2.0,
    ) -> None:
        self._pool = pool
        self._topics: Mapping[str, list[str]] = {
            one.name: [topic_name(prefix, category) for category in one.topics]
            for one in projections
        }
        self._deadline = deadline

    async def wait(self, projection: str, token: str) -> bool:
        """Whether the projection has what `token` names, before the deadline.

        Raises TokenMalformed, and KeyError for an unknown projection.
        """
        xids, topics = _parse(token), self._topics[projection]
        try:
            async with asyncio.timeout(self._deadline):
                while not await self._pool.fetchval(_PUBLISHED, xids):
                    await asyncio.sleep(0.003)
                heads = await self._heads(topics)
                while await self._behind(projection, heads):
                    await asyncio.sleep(0.003)
        except TimeoutError:
            return False
        return True

    async def _heads(self, topics: Sequence[str]) -> dict[Lane, int]:
        rows = await self._pool.fetch(_HEADS, topics)
        return {(row["topic"], row["partition"]): row["last_seq"] for row in rows}

    async def _behind(self, projection: str, heads: Mapping[Lane, int]) -> int:
        topics, partitions = [topic for topic, _ in heads], [partition for _, partition in heads]
        return int(
            await self._pool.fetchval(_BEHIND, projection, topics, partitions, [*heads.values()])
        )


def _parse(token: str) -> list[str]:
    xids = token.split(",")
    if len(token) > 2000 or not all(xid.isascii() and xid.isdigit() for xid in xids):
        raise TokenMalformed
    return xids
