"""Which accounts are there, and where are they logged in? Asked of a real Postgres.

History alone decides what is in the tables; tenants are kept apart.
"""

from datetime import timedelta
from functools import partial
from uuid import UUID

from libs.postgres.migrate import migrate
from libs.postgres.pool import Pool, tenant_transaction
from libs.testing.clock import Clock
from libs.testing.pools import tenant_pool
from libs.testing.read_models import (
    apply,
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_isolated,
)
from services.gateway.accounts.domain.realm import Role
from services.gateway.accounts.handlers.identity import open_person
from services.gateway.accounts.read_models import account
from services.gateway.accounts.read_models.account import by_number
from services.gateway.accounts.read_models.account_tables import ACCOUNT, OFFER, ROLE
from services.gateway.realms.shop.handlers.membership import accept, leave
from services.gateway.sessions import read_models as session_rows
from services.gateway.sessions.handlers import session as sessions
from services.gateway.sessions.read_models import last_logins, live_sessions
from tests.services.gateway.identities import (
    ANNA,
    BORIS,
    CRM,
    ENGINEER,
    KIOSK,
    LIFETIME,
    NOW,
    OTHER_CRM,
    STAFF,
    SUPERADMIN,
    TABLES,
    People,
)


async def test_an_account_is_found_by_its_number(people: People) -> None:
    anna = await people.open("Anna@example.com", ENGINEER, SUPERADMIN, name="Anna")
    await people.several(1)

    found = await by_number(people.identity.pool, anna.number)

    assert found is not None
    assert found.account_id == anna.account_id
    assert open_person(people.identity.seal, anna.account_id, found.sealed) == anna.person
    assert set(found.roles) == {ENGINEER, SUPERADMIN}
    assert (found.role_in(KIOSK), found.role_in(OTHER_CRM)) == ("superadmin", None)
    assert (found.active, found.has_password, found.opened_at) == (True, True, NOW)

    for unknown in (anna.number + 10, 10**30, -1):
        assert await by_number(people.identity.pool, unknown) is None


async def test_a_workspace_is_listed_in_pages_without_removed_accounts(people: People) -> None:
    made = await people.several(5)
    await people.open("other@example.com", Role(OTHER_CRM, "ENGINEER"))
    admin = await people.open("admin@example.com", Role(CRM, "ADMIN"))
    await people.remove(made[0])
    await people.deactivate(made[1])
    await people.catch_up()

    async def ids(**options: object) -> tuple[list[UUID], int]:
        page = await account.in_workspace(people.identity.pool, CRM, **options)  # type: ignore[arg-type]
        return [one.account_id for one in page.accounts], page.total

    left = [one.account_id for one in [*made[1:], admin]]
    assert await ids() == (left, 5)
    assert await ids(limit=2, offset=1) == (left[1:3], 5)
    assert await ids(offset=9) == ([], 5)
    assert await ids(roles=["ADMIN"]) == ([admin.account_id], 1)
    assert await ids(active=False) == ([made[1].account_id], 1)
    assert (await account.in_workspace(people.identity.pool, None)).total == 6


async def test_roles_and_activity_follow_what_happened(people: People, clock: Clock) -> None:
    anna = await people.open(password=None)
    clock.advance(hours=1)
    await people.grant(anna, Role(CRM, "SUPERVISOR"))
    await people.grant(anna, STAFF)
    await people.withdraw(anna, KIOSK)
    await people.deactivate(anna)
    await people.catch_up()

    found = await by_number(people.identity.pool, anna.number)

    assert found is not None
    assert found.roles == (Role(CRM, "SUPERVISOR"),)
    assert (found.active, found.has_password) == (False, False)
    assert (found.opened_at, found.changed_at) == (NOW, clock())

    await people.remove(anna)
    await people.catch_up()
    gone = await by_number(people.identity.pool, anna.number)
    assert gone is not None
    assert gone.removed_at == clock()


async def test_sessions_are_listed_newest_first_till_they_end(people: People, clock: Clock) -> None:
    anna = await people.open(ANNA, ENGINEER, STAFF)
    await people.open(BORIS)
    await people.enter(BORIS)
    phone = await people.enter(device="phone")
    clock.advance(hours=1)
    kiosk = await people.enter(workspace=KIOSK, device="kiosk")
    await people.catch_up()
    listed = partial(live_sessions, people.identity.pool, anna.account_id)

    both = await listed(clock())
    assert [one.device for one in both] == ["kiosk", "phone"]
    assert (both[1].workspace, both[1].opened_at) == (CRM, NOW)
    assert both[1].expires_at == NOW + LIFETIME
    assert [one.session_id for one in await listed(clock(), workspace=CRM)] == [phone.session_id]

    await sessions.log_out(people.identity, kiosk.refresh_token)
    await people.catch_up()
    assert [one.session_id for one in await listed(clock())] == [phone.session_id]
    assert await listed(NOW + LIFETIME) == []


async def test_a_refresh_is_seen_and_prolongs_the_session(people: People, clock: Clock) -> None:
    into = await people.enter_new()
    clock.now += LIFETIME - timedelta(seconds=1)
    await people.refresh(into)
    await people.catch_up()

    (one,) = await live_sessions(people.identity.pool, into.account.account_id, NOW + LIFETIME)

    assert (one.opened_at, one.refreshed_at) == (NOW, clock())


async def test_the_last_login_is_known_once_there_was_one(people: People, clock: Clock) -> None:
    anna = (await people.enter_new()).account
    never = await people.open("never@example.com")
    clock.advance(days=1)
    into = await people.enter()
    await sessions.log_out(people.identity, into.refresh_token)
    await people.catch_up()

    last = partial(last_logins, people.identity.pool, [anna.account_id, never.account_id])

    assert await last() == await last(workspace=CRM) == {anna.account_id: clock()}
    # What one place knows, another need not.
    assert await last(workspace=KIOSK) == {}
    assert await last_logins(people.identity.pool, []) == {}


async def change_hands(people: People, number: int) -> None:
    """An address gets another owner, roles and invitations come and go, a session opens, is
    refreshed and ends."""
    anna = await people.open("a@example.com", ENGINEER, username=f"u{number}")
    for shop in ("shop-1", "shop-2", "shop-3"):
        await people.invite(anna, shop)
    await accept(people.identity, anna.account_id, "shop-1")
    await leave(people.identity, anna.account_id, "shop-2")
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
    projections = [account.projection(), session_rows.projection()]
    apply_batch = partial(apply, people.identity.pool, "gateway", projections)

    # Every time in another order and other batches.
    await assert_history_decides(people.identity.pool, apply_batch, [history] * 8, TABLES)

    async with tenant_pool(database, "gateway") as tenants:
        await assert_tenants_are_isolated(tenants, TABLES)
    declared = [ACCOUNT, ROLE, OFFER, session_rows.SESSION]
    await assert_migrated_as_declared(people.identity.pool, "gateway", declared)


async def test_parked_events_are_seen_by_tenant_and_worker(own_pool: Pool, database: str) -> None:
    migrate("gateway", database)  # Again changes nothing.
    await own_pool.execute(
        """INSERT INTO projection_checkpoints (name) VALUES ('main');
        INSERT INTO projections (name, state, version, checkpoint)
            VALUES ('api_key', 'live', 1, 'main');
        INSERT INTO parked_events
            (projection, state, tenant, stream, first_position, reason, error)
            VALUES ('api_key', 'live', 'demo', 'key-1', 1, 'poison', 'ValueError')"""
    )
    count = "SELECT count(*) FROM parked_events"

    seen = {"worker": await own_pool.fetchval(count)}
    async with tenant_pool(database, "gateway") as tenants:
        for tenant in ("demo", "other"):
            async with tenant_transaction(tenants, tenant) as connection:
                seen[tenant] = await connection.fetchval(count)

    assert seen == {"demo": 1, "other": 0, "worker": 1}
