"""History alone decides what is in the tables of accounts and sessions; tenants are kept apart."""

from functools import partial

import pytest

from libs.postgres.migrate import migrate
from libs.postgres.pool import Pool, tenant_transaction
from libs.testing.pools import tenant_pool
from libs.testing.read_models import (
    apply,
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_fenced,
)
from services.gateway.handlers import session as sessions
from services.gateway.read_models import account, session
from services.gateway.read_models.account_rows import ACCOUNT, ADDRESS, ROLE
from tests.services.gateway.identities import CRM, ENGINEER, STAFF, TABLES, People


async def change_hands(people: People, number: int) -> None:
    """An address gets another owner, roles come and go, a session opens, is refreshed and ends."""
    anna = await people.open("a@example.com", ENGINEER, username=f"u{number}")
    into = await people.enter("a@example.com")
    await people.refresh(into)
    await people.grant(anna, STAFF)
    await people.change_email(anna, f"a{number}@example.com")
    await people.reset_password(anna)
    await people.withdraw(anna, CRM)
    await sessions.revoke(people.identity, into.session_id, reason="revoked", actor="")
    if number % 2:
        await people.remove(anna)
    else:
        await people.deactivate(anna)


async def test_history_decides_and_tenants_see_none_of_it(people: People, database: str) -> None:
    for number in range(4):
        await change_hands(people, number)
    history = await people.history()
    projections = [account.projection(), session.projection()]
    apply_batch = partial(apply, people.identity.pool, "gateway", projections)

    # Every time in another order and other batches.
    await assert_history_decides(people.identity.pool, apply_batch, [history] * 8, TABLES)

    async with tenant_pool(database, "gateway") as tenants:
        await assert_tenants_are_fenced(tenants, TABLES)
    declared = [ACCOUNT, ROLE, ADDRESS, session.SESSION]
    await assert_migrated_as_declared(people.identity.pool, "gateway", declared)


@pytest.mark.parametrize(
    "table", ["events", "api_key", "parked_streams", "parked", "idempotency", "key_use"]
)
async def test_every_table_with_tenants_is_fenced(pool: Pool, table: str) -> None:
    fenced = await pool.fetchrow(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass", table
    )

    assert fenced is not None
    assert tuple(fenced) == (True, True)


async def test_parked_events_are_seen_by_tenant_and_worker(own_pool: Pool, database: str) -> None:
    migrate("gateway", database)  # Again changes nothing.
    await own_pool.execute(
        """INSERT INTO parked_streams (projection, tenant, stream, reason, error)
        VALUES ('api_key', 'demo', 'key-1', 'poison', 'ValueError')"""
    )
    count = "SELECT count(*) FROM parked_streams"

    seen = {"worker": await own_pool.fetchval(count)}
    async with tenant_pool(database, "gateway") as tenants:
        for tenant in ("demo", "other"):
            async with tenant_transaction(tenants, tenant) as connection:
                seen[tenant] = await connection.fetchval(count)

    assert seen == {"demo": 1, "other": 0, "worker": 1}
