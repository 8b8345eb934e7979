"""Connections of a superuser."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from libs.postgres.pool import SYSTEM, Pool, open_pool


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Any]:
    """A superuser's connection."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Four connections of the superuser."""
    pool = await open_pool(
        database, role=None, schema="public", size=4, application_name="test", tenant_scope=SYSTEM
    )
    yield pool
    await pool.close()
