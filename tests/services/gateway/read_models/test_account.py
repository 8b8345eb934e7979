"""Which accounts are there, and what may each do where? Asked of a real Postgres."""

from uuid import UUID, uuid4

from libs.postgres.pool import tenant_transaction
from libs.testing.clock import Clock
from services.gateway.domain.person import email
from services.gateway.domain.realm import Role
from services.gateway.handlers import administration
from services.gateway.handlers.address import digest_of
from services.gateway.handlers.identity import Identity, open_person
from services.gateway.read_models import account
from services.gateway.read_models.account import by_address, by_id, by_number
from tests.services.gateway.identities import (
    ANNA,
    CRM,
    ENGINEER,
    KIOSK,
    NOW,
    OTHER_CRM,
    OTHER_KIOSK,
    STAFF,
    SUPERADMIN,
    catch_up,
    change_email,
    open_account,
    open_several,
)


async def test_an_account_is_found_by_id_number_and_address(identity: Identity) -> None:
    anna = await open_account(identity, "Anna@example.com", ENGINEER, SUPERADMIN, name="Anna")
    await open_several(identity, 1)

    found = [
        await by_id(identity.pool, anna.account_id),
        await by_number(identity.pool, anna.number),
        await by_address(identity.pool, digest_of(identity.seal, email(ANNA))),
    ]

    assert found[0] is not None
    assert found == [found[0]] * 3
    assert found[0].account_id == anna.account_id
    assert open_person(identity.seal, anna.account_id, found[0].sealed) == anna.person
    assert set(found[0].roles) == {ENGINEER, SUPERADMIN}
    assert (found[0].role_in(KIOSK), found[0].role_in(OTHER_CRM)) == ("superadmin", None)
    assert (found[0].active, found[0].has_password, found[0].opened_at) == (True, True, NOW)

    assert await by_id(identity.pool, uuid4()) is None
    assert await by_number(identity.pool, 10**30) is None
    assert await by_number(identity.pool, -1) is None
    assert await by_address(identity.pool, "0" * 64) is None


async def test_an_address_leads_to_its_present_owner(identity: Identity) -> None:
    anna = await open_account(identity, "office@example.com")
    digest = digest_of(identity.seal, email("office@example.com"))
    await change_email(identity, anna.account_id, ANNA)
    await catch_up(identity)
    assert await by_address(identity.pool, digest) is None

    boris = await open_account(identity, "office@example.com")
    await catch_up(identity)

    found = await by_address(identity.pool, digest)
    assert found is not None
    assert found.account_id == boris.account_id


async def test_a_place_is_listed_in_pages_without_those_who_are_removed(
    identity: Identity,
) -> None:
    made = await open_several(identity, 5)
    await open_account(identity, "other@example.com", Role(OTHER_CRM, "ENGINEER"))
    admin = await open_account(identity, "admin@example.com", Role(CRM, "ADMIN"))
    await administration.remove(identity, made[0].account_id, actor="test")
    await administration.deactivate(identity, made[1].account_id, reason="", actor="test")
    await catch_up(identity)

    async def ids(**options: object) -> tuple[list[UUID], int]:
        page = await account.of_place(identity.pool, CRM, **options)  # type: ignore[arg-type]
        return [one.account_id for one in page.accounts], page.total

    left = [one.account_id for one in [*made[1:], admin]]
    assert await ids() == (left, 5)
    assert await ids(limit=2, offset=1) == (left[1:3], 5)
    assert await ids(offset=9) == ([], 5)
    assert await ids(roles=["ADMIN"]) == ([admin.account_id], 1)
    assert await ids(active=False) == ([made[1].account_id], 1)
    assert (await account.of_place(identity.pool, None)).total == 6


async def test_roles_and_activity_follow_what_happened(identity: Identity, clock: Clock) -> None:
    anna = await open_account(identity, password=None)
    clock.advance(hours=1)
    await administration.grant_role(identity, anna.account_id, Role(CRM, "SUPERVISOR"), actor="b")
    await administration.grant_role(identity, anna.account_id, STAFF, actor="b")
    await administration.withdraw_role(identity, anna.account_id, KIOSK, actor="b")
    await administration.deactivate(identity, anna.account_id, reason="", actor="b")
    await catch_up(identity)

    found = await by_id(identity.pool, anna.account_id)

    assert found is not None
    assert found.roles == (Role(CRM, "SUPERVISOR"),)
    assert (found.active, found.has_password) == (False, False)
    assert (found.opened_at, found.changed_at) == (NOW, clock())

    await administration.remove(identity, anna.account_id, actor="b")
    await catch_up(identity)
    gone = await by_id(identity.pool, anna.account_id)
    assert gone is not None
    assert gone.removed_at == clock()


async def test_superadmins_are_the_active_ones_of_the_place(identity: Identity) -> None:
    await open_account(identity, "x@example.com", Role(OTHER_KIOSK, "superadmin"))
    await open_account(identity, "y@example.com", Role(KIOSK, "admin"))
    first, second = await open_several(identity, 2, SUPERADMIN)
    both = {first.account_id, second.account_id}
    assert set(await account.superadmins(identity.pool, KIOSK)) == both

    await administration.remove(identity, first.account_id, actor="b")
    await catch_up(identity)

    assert await account.superadmins(identity.pool, KIOSK) == [second.account_id]


async def test_tenants_do_not_see_the_accounts_that_act_in_them(identity: Identity) -> None:
    await open_several(identity, 1)

    async with tenant_transaction(identity.pool, CRM.tenant) as connection:
        for table in ("account", "account_role", "account_address"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
