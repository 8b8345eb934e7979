"""History alone decides what is in the tables of accounts and sessions, and tenants see nothing."""

from functools import partial

from libs.testing.pools import tenant_pool
from libs.testing.read_models import (
    apply,
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_fenced,
)
from services.gateway.handlers import administration
from services.gateway.handlers import session as sessions
from services.gateway.handlers.identity import Identity
from services.gateway.read_models import account, session
from services.gateway.read_models.account_rows import ACCOUNT, ADDRESS, ROLE
from tests.services.gateway.identities import (
    CRM,
    ENGINEER,
    STAFF,
    TABLES,
    change_email,
    enter,
    history_of,
    open_account,
    reset_password,
)


async def change_hands(identity: Identity, number: int) -> None:
    """An address gets another owner, roles come and go, a session opens, is refreshed and ends."""
    anna = await open_account(identity, "a@example.com", ENGINEER, username=f"u{number}")
    into = await enter(identity, "a@example.com")
    await sessions.refresh(identity, into.refresh_token)
    await administration.grant_role(identity, anna.account_id, STAFF, actor="")
    await change_email(identity, anna.account_id, f"a{number}@example.com")
    await reset_password(identity, anna.account_id)
    await administration.withdraw_role(identity, anna.account_id, CRM, actor="")
    await sessions.revoke(identity, into.session_id, reason="revoked", actor="")
    if number % 2:
        await administration.remove(identity, anna.account_id, actor="")
    else:
        await administration.deactivate(identity, anna.account_id, reason="", actor="")


async def test_the_history_decides_and_tenants_see_none_of_it(
    identity: Identity, database: str
) -> None:
    for number in range(4):
        await change_hands(identity, number)
    history = await history_of(identity)
    projections = [account.projection(), session.projection()]
    apply_batch = partial(apply, identity.pool, "gateway", projections)

    # Every time in another order and other batches.
    await assert_history_decides(identity.pool, apply_batch, [history] * 8, TABLES)

    async with tenant_pool(database, "gateway") as tenants:
        await assert_tenants_are_fenced(tenants, TABLES)
    declared = [ACCOUNT, ROLE, ADDRESS, session.SESSION]
    await assert_migrated_as_declared(identity.pool, "gateway", declared)
