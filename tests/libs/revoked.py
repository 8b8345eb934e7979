"""A database with the table of revoked sessions, and a doorbell that no other process hears."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from libs.postgres.doorbell import Doorbell
from libs.testing.tables import REVOCATION_TABLES


@asynccontextmanager
async def open_revoked_sessions(database: str) -> AsyncIterator[Any]:
    """A pool of that database."""
    async with asyncpg.create_pool(database, min_size=0, max_size=4) as opened_pool:
        await opened_pool.execute(";".join(REVOCATION_TABLES))
        yield opened_pool


def own_doorbell() -> Doorbell:
    """One that rings in this process only."""
    return Doorbell("postgresql://nowhere", "none")
