"""What each role may do, and at a shop: where one works, and what the name of a role there says."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.accounts.domain.account import Offer
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import (
    SCOPES,
    Realm,
    Workspace,
    is_role,
    roles_of,
    scopes_of,
)
from services.gateway.accounts.domain.shop import oldest_offer, workspace_of_shop
from services.gateway.accounts.domain.shop_role import (
    DEFAULTS,
    KEYS,
    PermissionUnknown,
    ShopRole,
    allowed_after,
    parse_shop_role,
    within,
)
from services.gateway.realms.shop.domain import (
    Card,
    card_of,
    with_card,
    workspace_to_enter,
    workspaces_of_staff,
)

ANNA = Person(name="Анна", email="anna@crm.example", phone="+77011234567", telegram_id=7)
STANDINGS = st.builds(
    ShopRole,
    role=st.sampled_from(list(DEFAULTS)),
    keys=st.none() | st.frozensets(st.sampled_from(KEYS)),
    active=st.booleans(),
)


def test_several_workplaces_begin_where_the_role_may_do_the_most() -> None:
    roles = {
        workspace_of_shop("shop-3"): "courier",
        workspace_of_shop("shop-2"): "admin",
        workspace_of_shop("shop-1"): "admin",
        Workspace("crm", "demo"): "ADMIN",
        workspace_of_shop("shop-0"): "admin off",
        workspace_of_shop("shop-4"): "owner",
    }

    assert [workspace.tenant for workspace, _ in workspaces_of_staff(roles)] == [
        "shop-1",
        "shop-2",
        "shop-3",
    ]
    assert [workspace.tenant for workspace, _ in workspaces_of_staff(roles, "courier")] == [
        "shop-3"
    ]
    assert workspaces_of_staff({}) == ()


A, B, C = (workspace_of_shop(f"shop-{letter}") for letter in "abc")
DAYS = [datetime(2030, 1, day, tzinfo=UTC) for day in range(1, 4)]


@pytest.mark.parametrize(
    ("workspaces", "owned", "used", "entered"),
    [
        ([], (), {}, None),
        ([A, B], (), {}, A),
        ([A, B], (), {"shop-b": DAYS[0]}, B),
        ([A, B], (), {"shop-a": DAYS[0], "shop-b": DAYS[1]}, B),
        ([A, B], ("shop-a",), {"shop-b": DAYS[1]}, A),
        ([A, B], (), {"shop-a": DAYS[0], "shop-c": DAYS[2]}, A),
        ([A, B], ("shop-c",), {"shop-b": DAYS[0]}, B),
    ],
)
def test_a_login_enters_the_own_shop_or_the_last_used(
    workspaces: list[Workspace],
    owned: tuple[str, ...],
    used: dict[str, datetime],
    entered: Workspace | None,
) -> None:
    assert workspace_to_enter(workspaces, owned, used) == entered


def test_the_oldest_invitation_counts_unless_it_is_off() -> None:
    def offer(role: str, day: int) -> Offer:
        return Offer(role=role, number=1, sealed="", offered_at=DAYS[day])

    offers = {
        C: offer("florist off", 0),
        # Corrected since, which is no later invitation.
        A: offer("florist", 2),
        B: offer("courier", 1),
    }

    assert oldest_offer(offers) == A
    assert oldest_offer(offers, "courier") == B
    assert oldest_offer(offers, "manager") is None
    assert oldest_offer({Workspace("crm", "demo"): offer("ADMIN", 0)}) is None


def test_a_shops_card_is_its_own_and_replaced_as_a_whole() -> None:
    assert card_of(ANNA, "shop-1") == Card(name="Анна", email="anna@crm.example", telegram_id=7)

    first = with_card(ANNA, "shop-1", Card(name="Аня", email="a@shop.example", telegram_id=9))
    assert card_of(first, "shop-1") == Card(name="Аня", email="a@shop.example", telegram_id=9)
    assert card_of(first, "shop-2").name == "Анна"
    assert (first.email, first.telegram_id, first.name) == (ANNA.email, 7, "Анна")

    other = with_card(first, "shop-2", Card(name="Анна П."))
    again = with_card(other, "shop-1", Card(name="Аня"))
    assert card_of(again, "shop-1") == Card(name="Аня")
    assert card_of(again, "shop-2") == Card(name="Анна П.")


@given(shop_role=STANDINGS)
def test_the_name_of_a_role_encodes_its_permissions_and_status(shop_role: ShopRole) -> None:
    read = parse_shop_role(shop_role.name)

    assert read is not None
    assert read.name == shop_role.name
    assert (read.role, read.permissions) == (shop_role.role, shop_role.permissions)
    assert read.active == shop_role.active
    assert is_role("shop", shop_role.name)
    assert scopes_of("shop", shop_role.name) == {f"shop:{key}" for key in shop_role.allowed}
    assert within(shop_role, DEFAULTS["admin"])


@pytest.mark.parametrize(
    "name",
    [
        *("", "owner", "florist ", " florist", "off", "Florist", "florist off off"),
        *("florist orders off off", "florist orders warehouse", "florist money"),
        *("florist warehouse,orders", "florist orders,orders", "florist orders,production"),
        "florist -,orders",
    ],
)
def test_another_name_is_no_role_and_may_nothing(name: str) -> None:
    assert parse_shop_role(name) is None
    assert not is_role("shop", name)
    assert scopes_of("shop", name) == frozenset()


def test_a_role_elsewhere_has_no_such_words() -> None:
    assert not is_role("crm", "ENGINEER off")
    assert not is_role("kiosk", "florist")


@pytest.mark.parametrize(
    ("shop_role", "name"),
    [
        (ShopRole(role="florist"), "florist"),
        (ShopRole(role="florist", keys=DEFAULTS["florist"]), "florist"),
        (ShopRole(role="florist", active=False), "florist off"),
        (ShopRole(role="courier", keys=frozenset()), "courier -"),
        (ShopRole(role="courier", keys=frozenset({"users", "orders"})), "courier orders,users"),
    ],
)
def test_names_are_short_where_nothing_is_unusual(shop_role: ShopRole, name: str) -> None:
    assert shop_role.name == name


def test_an_inactive_role_has_no_scopes_but_keeps_its_permissions() -> None:
    off = ShopRole(role="manager", active=False)

    assert off.allowed == frozenset()
    assert off.permissions == ShopRole(role="manager").permissions
    assert not within(ShopRole(role="admin", active=False), {"users", "orders"})


def test_permissions_are_given_and_taken_one_by_one() -> None:
    after = allowed_after(ShopRole(role="florist"), {"users": True, "orders": False})

    assert after.allowed == {"users", "production"}
    with pytest.raises(PermissionUnknown):
        allowed_after(after, {"money": True})


KIOSK_ROLES = "superadmin admin staff customer kiosk externalKitchen externalPostBox"


@pytest.mark.parametrize(
    ("realm", "roles"),
    [
        (Realm.SCALES, "user bridge"),
        (Realm.CRM, "ADMIN SUPERVISOR ENGINEER"),
        (Realm.SHOP, "admin manager florist courier"),
        (Realm.KIOSK, KIOSK_ROLES),
        (Realm.PLATFORM, "superadmin"),
    ],
)
def test_a_realm_has_the_roles_its_clients_know(realm: Realm, roles: str) -> None:
    assert roles_of(realm) == set(roles.split())


def test_roles_of_the_crm_have_the_scopes_of_the_role_table() -> None:
    engineer = {"objects:read", "visits:read", "visits:write", "customers:read", "customers:write"}

    assert scopes_of("crm", "ENGINEER") == engineer
    assert scopes_of("crm", "SUPERVISOR") < scopes_of("crm", "ADMIN")
    assert {"admin:*", "users:write", "audit:read"} <= scopes_of("crm", "ADMIN")


def test_a_shop_manager_may_all_but_manage_users() -> None:
    assert scopes_of("shop", "admin") - scopes_of("shop", "manager") == {"shop:users"}


def test_a_kiosk_and_the_staff_have_nothing_in_common_and_only_a_superadmin_manages_users() -> None:
    for role in roles_of(Realm.KIOSK) - {"kiosk"}:
        assert not scopes_of("kiosk", role) & scopes_of("kiosk", "kiosk")
    holders = {role for (_, role), scopes in SCOPES.items() if "kiosk:can_manage_users" in scopes}
    assert holders == {"superadmin"}


@pytest.mark.parametrize(("realm", "role"), [("crm", "admin"), ("moon", "ADMIN"), ("", "")])
def test_a_role_that_does_not_exist_may_nothing(realm: str, role: str) -> None:
    assert scopes_of(realm, role) == frozenset()
