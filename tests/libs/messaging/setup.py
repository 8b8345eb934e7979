"""The laboratory's tables."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from libs.eventsourcing.schema import APPEND_ONLY, EVENTS, INDEXES
from libs.messaging.schema import INCARNATIONS, RELAY
from libs.projections.schema import CHECKPOINTS, PARKED, PROJECTIONS
from tests.libs.messaging.lab import LEDGER

EMPTY = """ALTER TABLE events DISABLE TRIGGER events_append_only;
    TRUNCATE events, ledger, projections, projection_checkpoints, parked_events
    RESTART IDENTITY"""
"""Begins anew in a database that was used before."""


@asynccontextmanager
async def open_database(address: str) -> AsyncIterator[asyncpg.Pool]:
    """A database with log, messaging tables and the ledger, made if they are missing."""
    async with asyncpg.create_pool(address, min_size=0, max_size=12) as pool:
        if await pool.fetchval("SELECT to_regclass('events') IS NULL"):
            relay, models = (*RELAY, *INCARNATIONS), (CHECKPOINTS, PROJECTIONS, PARKED)
            tables = (EVENTS, *INDEXES, *APPEND_ONLY, *relay, *models, LEDGER)
            await pool.execute(";".join(tables))
        yield pool
