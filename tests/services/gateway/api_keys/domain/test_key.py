"""The rules of an API key: how it is issued and revoked, and what it may be given by whom."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from contracts.gateway import GatewayEvent, KeyId, KeyIssued, KeyRevoked
from libs.eventsourcing.codec import Codec
from libs.testing.decisions import NOTHING, Outcome, assert_decides, decisions
from services.gateway.api_keys.domain.key import (
    KEY,
    IssueKey,
    KeyIsRevoked,
    KeyIssuedOtherwise,
    KeyUnknown,
    KeyUseless,
    RevokeKey,
)
from services.gateway.api_keys.domain.scopes import (
    GRANTABLE,
    ScopeUnfit,
    TenantUnfit,
    check_scopes,
    tenant_for,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 2, tzinfo=UTC)
ID = KeyId(UUID(int=1))
ALL = frozenset({"keys:*"})

KEY_FIELDS: dict[str, Any] = {
    "key_id": ID,
    "name": "scanners",
    "prefix": "ts_abcdefgh",
    "hash": "0" * 64,
    "scopes": ("scan:write",),
}
issue, issued = IssueKey(**KEY_FIELDS, now=NOW), KeyIssued(**KEY_FIELDS, issued_at=NOW)
revoke = RevokeKey(key_id=ID, reason="lost device", now=NOW)
revoked = KeyRevoked(key_id=ID, reason="lost device", revoked_at=NOW)
limits: dict[str, Any] = {"expires_at": LATER, "requests_per_minute": 60}


@decisions(
    ("issued", [], issue, [issued]),
    ("issued with limits", [], replace(issue, **limits), [replace(issued, **limits)]),
    ("issued again later", [issued], replace(issue, now=LATER), NOTHING),
    ("other scopes", [issued], replace(issue, scopes=("scan:read",)), KeyIssuedOtherwise),
    ("another secret", [issued], replace(issue, hash="1" * 64), KeyIssuedOtherwise),
    ("for longer", [issued], replace(issue, expires_at=LATER), KeyIssuedOtherwise),
    ("issued after revoked", [issued, revoked], issue, KeyIsRevoked),
    ("revoked", [issued], revoke, [revoked]),
    ("revoked again", [issued, revoked], replace(revoke, reason="again"), NOTHING),
    ("revoked before issued", [], revoke, KeyUnknown),
    ("over at once", [], replace(issue, expires_at=NOW), KeyUseless),
    ("over already", [], replace(issue, expires_at=NOW, now=LATER), KeyUseless),
    ("no requests", [], replace(issue, requests_per_minute=0), KeyUseless),
)
def test_keys_decide(history: Sequence[GatewayEvent], command: Any, outcome: Outcome) -> None:
    assert_decides(KEY, history, command, outcome)


def test_a_key_of_before_there_was_an_expiry_never_expires() -> None:
    written = f"""{{"key_id": "{ID}", "name": "scanners", "prefix": "ts_abcdefgh",
        "hash": "{"0" * 64}", "scopes": ["scan:write"], "issued_at": "2030-01-01T00:00:00Z"}}"""

    assert Codec([KeyIssued]).decode("KeyIssued", 1, written.encode()) == issued


def test_no_key_opens_what_administrators_open() -> None:
    assert {"scan:read", "scan:write", "scan:remove"} <= GRANTABLE
    assert not {"keys:*", "accounts:*"} & GRANTABLE


@pytest.mark.parametrize(
    ("kind", "own", "given", "refused"),
    [
        ("platform", ALL, GRANTABLE, [["keys:*"], ["accounts:*"], ["scan:fly"], [""]]),
        ("crm", ALL | {"scan:read"}, ["scan:read"], [["scan:read", "scan:write"], ["keys:*"]]),
    ],
    ids=["platform", "crm"],
)
def test_the_platform_gives_what_keys_may_have_and_others_what_they_have_themselves(
    kind: str, own: frozenset[str], given: Iterable[str], refused: list[list[str]]
) -> None:
    check_scopes(given, kind=kind, own=own)
    for scopes in refused:
        with pytest.raises(ScopeUnfit):
            check_scopes(scopes, kind=kind, own=own)


@pytest.mark.parametrize(
    ("kind", "own", "named", "meant"),
    [
        ("platform", "platform", None, "demo"),
        ("platform", "platform", "shop-1", "shop-1"),
        ("platform", "platform", "platform", None),
        ("crm", "shop-1", None, "shop-1"),
        ("crm", "shop-1", "shop-1", "shop-1"),
        ("crm", "shop-1", "demo", None),
    ],
)
def test_keys_are_of_the_own_tenant_or_one_that_the_platform_names(
    kind: str, own: str, named: str | None, meant: str | None
) -> None:
    try:
        assert tenant_for(kind=kind, own=own, requested=named, default="demo") == meant
    except TenantUnfit:
        assert meant is None
