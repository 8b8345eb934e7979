"""How far the read models have come, asked of the checkpoints: cheap however much is stored."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import asyncpg

from contracts.ingest import SCANS
from libs.messaging.topics import topic_name
from services.ingest.bootstrap import projections
from services.ingest.settings import Settings
from tests.bench.house import Installation
from tests.bench.scans import ZONE

LOOK_SECONDS: Final = 0.05
STANDSTILL_SECONDS: Final = 60.0

PROJECTIONS: Final = tuple(
    projection
    for projection in projections(Settings.model_construct(timezone=str(ZONE)))
    if SCANS in projection.topics
)
"""The read models that are made of scans."""


class StandsStill(Exception):
    """The read models do not move."""


def count_sql(installation: Installation) -> str:
    """How many scans the slowest read model has."""
    topic = topic_name(installation.prefix, SCANS)
    return f"""
        SELECT (CASE WHEN count(*) < {len(PROJECTIONS)} THEN 0 ELSE min(done) END)::bigint FROM (
            SELECT sum(next_offset) AS done FROM ingest.checkpoints
            JOIN ingest.generations USING (projection, generation)
            WHERE state = 'live' AND topic = '{topic}' GROUP BY projection
        ) AS each"""


async def wait_for(
    installation: Installation, events: int, tell: Callable[[int], None] = lambda _: None
) -> None:
    """Wait until every read model has so many scans. Raises StandsStill."""
    connection: Any = await asyncpg.connect(installation.database_url)
    try:
        sql, before, moved_at = count_sql(installation), -1, time.monotonic()
        while (done := await connection.fetchval(sql)) < events:
            if done != before:
                before, moved_at = done, time.monotonic()
                tell(done)
            if time.monotonic() - moved_at > STANDSTILL_SECONDS:
                raise StandsStill(f"at {done} of {events}")
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await connection.close()
