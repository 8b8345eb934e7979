"""The laboratory's tables."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from libs.testing.tables import LOG_TABLES, PROJECTION_TABLES, RELAY_TABLES
from tests.libs.messaging.lab import LEDGER

EMPTY = """ALTER TABLE events DISABLE TRIGGER events_append_only;
    TRUNCATE events, ledger, projections, projection_checkpoints, parked_events
    RESTART IDENTITY"""
"""Empties a database that was used before."""


@asynccontextmanager
async def open_database(address: str) -> AsyncIterator[asyncpg.Pool]:
    """A database with log, messaging tables and the ledger, created if missing."""
    async with asyncpg.create_pool(address, min_size=0, max_size=12) as pool:
        if await pool.fetchval("SELECT to_regclass('events') IS NULL"):
            tables = (*LOG_TABLES, *RELAY_TABLES, *PROJECTION_TABLES, LEDGER)
            await pool.execute(";".join(tables))
        yield pool
