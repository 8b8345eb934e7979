"""What a key may be given, and by whom."""

import pytest

from services.gateway.domain.key_scopes import (
    GRANTABLE,
    ScopeUnfit,
    TenantUnfit,
    check_scopes,
    tenant_for,
)

ALL = frozenset({"keys:*"})


def test_no_key_opens_what_administrators_open() -> None:
    assert {"scan:read", "scan:write", "scan:remove"} <= GRANTABLE
    assert not {"keys:*", "accounts:*"} & GRANTABLE


def test_the_platform_gives_whatever_a_key_may_have_and_nothing_else() -> None:
    check_scopes(GRANTABLE, kind="platform", own=ALL)

    for scope in ("keys:*", "accounts:*", "scan:fly", ""):
        with pytest.raises(ScopeUnfit):
            check_scopes([scope], kind="platform", own=ALL)


def test_nobody_else_gives_what_they_do_not_have() -> None:
    own = ALL | {"scan:read"}
    check_scopes(["scan:read"], kind="crm", own=own)

    for scopes in (["scan:read", "scan:write"], ["keys:*"]):
        with pytest.raises(ScopeUnfit):
            check_scopes(scopes, kind="crm", own=own)


@pytest.mark.parametrize(
    ("kind", "own", "asked", "meant"),
    [
        ("platform", "platform", None, "demo"),
        ("platform", "platform", "shop-1", "shop-1"),
        ("crm", "shop-1", None, "shop-1"),
        ("crm", "shop-1", "shop-1", "shop-1"),
    ],
)
def test_whose_keys_are_meant(kind: str, own: str, asked: str | None, meant: str) -> None:
    assert tenant_for(kind=kind, own=own, asked=asked, default="demo") == meant


@pytest.mark.parametrize(
    ("kind", "own", "asked"), [("crm", "shop-1", "demo"), ("platform", "platform", "platform")]
)
def test_whose_keys_are_nobodys_business(kind: str, own: str, asked: str) -> None:
    with pytest.raises(TenantUnfit):
        tenant_for(kind=kind, own=own, asked=asked, default="demo")
