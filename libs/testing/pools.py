"""Pools on a migrated database with the rights of the service under test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role


@asynccontextmanager
async def system_pool(database: str, service: str, *, size: int = 4) -> AsyncIterator[Pool]:
    """A pool that sees all tenants, like the pools of relay, projections and rebuilds."""
    pool = await _open(database, service, size, tenant_scope=SYSTEM)
    yield pool
    await pool.close()


@asynccontextmanager
async def tenant_pool(database: str, service: str, *, size: int = 2) -> AsyncIterator[Pool]:
    """A pool that sees one tenant at a time, like the pools of an API."""
    pool = await _open(database, service, size, tenant_scope=None)
    yield pool
    await pool.close()


async def _open(database: str, service: str, size: int, *, tenant_scope: str | None) -> Pool:
    return await open_pool(
        database,
        role=application_role(service),
        schema=service,
        size=size,
        application_name="test" if tenant_scope else "test-reading",
        tenant_scope=tenant_scope,
    )
