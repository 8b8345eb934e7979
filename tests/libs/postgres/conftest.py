"""Connections of a superuser."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Any]:
    """A superuser's connection."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()
