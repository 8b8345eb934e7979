"""What each role may do."""

import pytest

from services.gateway.domain.realm import SCOPES, Realm, roles_of, scopes_of

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
