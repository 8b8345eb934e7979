"""What a role's name at a shop says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.realm import is_role, scopes_of
from services.gateway.domain.shop_standing import (
    DEFAULTS,
    KEYS,
    PermissionUnknown,
    Standing,
    allowed_after,
    standing_of,
    within,
)

STANDINGS = st.builds(
    Standing,
    role=st.sampled_from(list(DEFAULTS)),
    keys=st.none() | st.frozensets(st.sampled_from(KEYS)),
    active=st.booleans(),
)


@given(standing=STANDINGS)
def test_a_name_says_all_of_a_standing(standing: Standing) -> None:
    read = standing_of(standing.name)

    assert read is not None
    assert read.name == standing.name
    assert (read.role, read.permissions, read.active) == (
        standing.role,
        standing.permissions,
        standing.active,
    )
    assert is_role("shop", standing.name)
    assert scopes_of("shop", standing.name) == {f"shop:{key}" for key in standing.allowed}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "owner",
        "florist ",
        " florist",
        "florist off off",
        "florist orders off off",
        "florist orders warehouse",
        "florist money",
        "florist warehouse,orders",
        "florist orders,orders",
        "florist orders,production",
        "florist -,orders",
        "off",
        "Florist",
    ],
)
def test_another_name_is_no_role_and_may_nothing(name: str) -> None:
    assert standing_of(name) is None
    assert not is_role("shop", name)
    assert scopes_of("shop", name) == frozenset()


def test_a_role_elsewhere_has_no_such_words() -> None:
    assert not is_role("crm", "ENGINEER off")
    assert not is_role("kiosk", "florist")


@pytest.mark.parametrize(
    ("standing", "name"),
    [
        (Standing(role="florist"), "florist"),
        (Standing(role="florist", keys=DEFAULTS["florist"]), "florist"),
        (Standing(role="florist", active=False), "florist off"),
        (Standing(role="courier", keys=frozenset()), "courier -"),
        (Standing(role="courier", keys=frozenset({"users", "orders"})), "courier orders,users"),
    ],
)
def test_names_are_short_where_nothing_is_unusual(standing: Standing, name: str) -> None:
    assert standing.name == name


def test_whoever_is_switched_off_may_nothing_and_keeps_what_they_had() -> None:
    off = Standing(role="manager", active=False)

    assert off.allowed == frozenset()
    assert off.permissions == Standing(role="manager").permissions


def test_permissions_are_given_and_taken_one_by_one() -> None:
    after = allowed_after(Standing(role="florist"), {"users": True, "orders": False})

    assert after.allowed == {"users", "production"}
    with pytest.raises(PermissionUnknown):
        allowed_after(after, {"money": True})


@given(standing=STANDINGS)
def test_an_admin_may_decide_on_everybody(standing: Standing) -> None:
    assert within(standing, DEFAULTS["admin"])


def test_what_somebody_had_before_they_were_switched_off_counts() -> None:
    assert not within(Standing(role="admin", active=False), {"users", "orders"})
