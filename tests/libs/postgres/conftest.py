"""Databases as a superuser and as other logins see them."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Any]:
    """A superuser's connection."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def as_login(database: str, login: str) -> str:
    """The same database for another login; its password is x."""
    parts = urlsplit(database)
    return parts._replace(netloc=f"{login}:x@{parts.netloc.rpartition('@')[2]}").geturl()
