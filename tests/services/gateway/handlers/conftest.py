"""Accounts and sessions on a database of one's own, and a clock that is set."""

from collections.abc import AsyncIterator

import pytest

from services.gateway.handlers.identity import Identity
from tests.services.gateway.told import Clock, an_identity


@pytest.fixture
def clock() -> Clock:
    """A clock that only moves when told to."""
    return Clock()


@pytest.fixture
async def identity(database: str, clock: Clock) -> AsyncIterator[Identity]:
    """What the handlers work with."""
    async with an_identity(database, clock) as made:
        yield made
