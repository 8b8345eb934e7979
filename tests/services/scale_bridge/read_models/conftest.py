"""Read models in a real database, seen by projectors and by those who ask."""

from collections.abc import AsyncIterator

import pytest

from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """The database as projectors see it: with the service's rights, and all tenants."""
    role = application_role("scale_bridge")
    made = await open_pool(
        database,
        role=role,
        schema="scale_bridge",
        size=4,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    yield made
    await made.close()


@pytest.fixture
async def reading_pool(database: str, pool: Pool) -> AsyncIterator[Pool]:
    """The same database as questions see it: one tenant at a time."""
    role = application_role("scale_bridge")
    made = await open_pool(
        database, role=role, schema="scale_bridge", size=2, application_name="test-reading"
    )
    yield made
    await made.close()
