"""Reading your own writes: wait until a read model has what a token names, or say it has not."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import asyncpg

from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tokens import parse_token
from libs.messaging.projection import Projection
from libs.messaging.publisher import Lane
from libs.messaging.tail import Difference, current
from libs.messaging.topics import topic_name

PAUSE: Final = 0.003
"""Seconds between two looks."""
MARKS: Final = 256
MARK_SECONDS: Final = 0.05
"""Looks are remembered so far apart, so many of them: longer than anybody waits."""


_PUBLISHED: Final = """
SELECT (CASE WHEN complete AND confirmed THEN target ELSE published END)::text FROM relay
"""

_HEADS: Final = "SELECT topic, partition, last_seq FROM relay_heads"

_PLACES: Final = """
SELECT projection, topic, partition, relay_seq
FROM checkpoints JOIN generations USING (projection, generation)
WHERE state = 'live' AND relay_seq IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What was published, the last number of every lane, and the last one every projection has.

    `at` is when it was looked up, by the clock of the event loop.
    """

    published: Snapshot
    heads: Mapping[Lane, int]
    places: Mapping[str, Mapping[Lane, int]]
    at: float

    def among(self, topics: set[str]) -> dict[Lane, int]:
        """The heads of these topics."""
        return {lane: seq for lane, seq in self.heads.items() if lane[0] in topics}

    def has(self, projection: str, heads: Mapping[Lane, int]) -> bool:
        """Whether the projection has come to these heads."""
        places = self.places.get(projection, {})
        return all(places.get(lane, 0) >= seq for lane, seq in heads.items())


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
        self._topics = {
            one.name: {topic_name(prefix, category) for category in one.topics}
            for one in projections
        }
        self._deadline = deadline
        self._next_look: asyncio.Future[_Standing] | None = None
        self._marks: deque[_Standing] = deque(maxlen=MARKS)
        self._marked_at = -inf
        self._levels: dict[str, _Standing] = {}

    async def wait(self, projection: str, token: str) -> bool:
        """Whether the projection has what `token` names, before the deadline.

        Raises TokenMalformed, and KeyError for an unknown projection.
        """
        xids = [written.xid for written in parse_token(token)]
        topics = self._topics[projection]
        try:
            async with asyncio.timeout(self._deadline):
                await self._reached(projection, await self._published(xids, topics))
        except TimeoutError:
            return False
        return True

    async def caught_up(self, projection: str, tenant: str) -> bool:
        """Whether the projection has all events of a tenant in the log by now, before the deadline.

        What others write is not waited for. The pool needs sight of every tenant's events. Raises
        KeyError for an unknown projection.
        """
        topics = self._topics[projection]
        try:
            async with asyncio.timeout(self._deadline):
                await self._has_all_of(tenant, projection, topics)
        except TimeoutError:
            return False
        return True

    async def _has_all_of(self, tenant: str, projection: str, topics: set[str]) -> None:
        async with self._pool.acquire() as connection:
            moment = await current(connection)
        xids: list[int] | None = None
        while True:
            level = self._level(projection, topics, await self._look())
            if level is None:
                continue
            if xids is None:
                async with self._pool.acquire() as connection:
                    difference = Difference(level.published, moment)
                    xids = await difference.written_by(connection, tenant)
            if all(map(level.published.sees, xids)):
                return

    def _level(self, projection: str, topics: set[str], now: _Standing) -> _Standing | None:
        """The newest look whose published events the projection is known to have; None of none.

        While others write, the projection is always behind the latest look, and level with one of
        some moments ago: perhaps the last one it was found level with, which need not be among the
        marks. A rebuild taken back may take it behind all of them.
        """
        known = self._levels.get(projection)
        marks: list[_Standing] = [now, *self._marks, *([known] if known else [])]
        for mark in sorted(marks, key=lambda one: one.at, reverse=True):
            if now.has(projection, mark.among(topics)):
                self._levels[projection] = mark
                return mark
        return None

    async def _published(self, xids: Sequence[int], topics: set[str]) -> dict[Lane, int]:
        """Wait until Kafka has what the transactions wrote; where the lanes ended then."""
        while xids:
            standing = await self._look()
            if all(map(standing.published.sees, xids)):
                return standing.among(topics)
        return {}

    async def _reached(self, projection: str, heads: Mapping[Lane, int]) -> None:
        while heads and not (await self._look()).has(projection, heads):
            pass

    async def _look(self) -> _Standing:
        """How things stand, looked up after this call began: one look for all who wait."""
        if self._next_look is None:
            self._next_look = asyncio.ensure_future(self._look_soon())
        return await asyncio.shield(self._next_look)

    async def _look_soon(self) -> _Standing:
        await asyncio.sleep(PAUSE)
        # Whoever comes from now on needs a later look.
        self._next_look = None
        async with self._pool.acquire() as connection:
            # In this order: whatever is seen published has its heads seen too.
            published = await connection.fetchval(_PUBLISHED)
            heads = await connection.fetch(_HEADS)
            rows = await connection.fetch(_PLACES)
        places: dict[str, dict[Lane, int]] = defaultdict(dict)
        for row in rows:
            places[row["projection"]][row["topic"], row["partition"]] = row["relay_seq"]
        found = _Standing(
            Snapshot.parse(published),
            {(row["topic"], row["partition"]): row["last_seq"] for row in heads},
            places,
            asyncio.get_running_loop().time(),
        )
        if found.at >= self._marked_at + MARK_SECONDS:
            self._marks.append(found)
            self._marked_at = found.at
        return found
