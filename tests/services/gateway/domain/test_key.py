"""The rules of an API key."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from contracts.gateway import KeyId, KeyIssued, KeyRevoked
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.testing import Scenario
from services.gateway.domain.key import (
    KEY,
    IssueKey,
    KeyIsRevoked,
    KeyIssuedOtherwise,
    KeyUnknown,
    KeyUseless,
    RevokeKey,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 2, tzinfo=UTC)
ID = KeyId(UUID(int=1))

issue = IssueKey(
    key_id=ID, name="scanners", prefix="ts_abcdefgh", hash="0" * 64, scopes=("scan:write",), now=NOW
)
issued = KeyIssued(
    key_id=ID,
    name="scanners",
    prefix="ts_abcdefgh",
    hash="0" * 64,
    scopes=("scan:write",),
    issued_at=NOW,
)
revoke = RevokeKey(key_id=ID, reason="lost device", now=NOW)
revoked = KeyRevoked(key_id=ID, reason="lost device", revoked_at=NOW)

key = Scenario(KEY)


def test_a_key_can_be_issued() -> None:
    key.given().when(issue).then(issued)


def test_issuing_the_same_key_later_changes_nothing() -> None:
    key.given(issued).when(replace(issue, now=LATER)).then_nothing()


def test_a_key_cannot_get_other_scopes() -> None:
    key.given(issued).when(replace(issue, scopes=("scan:read",))).then_refused(KeyIssuedOtherwise)


def test_a_key_cannot_get_another_secret() -> None:
    key.given(issued).when(replace(issue, hash="1" * 64)).then_refused(KeyIssuedOtherwise)


def test_a_revoked_key_cannot_be_issued_again() -> None:
    key.given(issued, revoked).when(issue).then_refused(KeyIsRevoked)


def test_an_issued_key_can_be_revoked() -> None:
    key.given(issued).when(revoke).then(revoked)


def test_revoking_twice_changes_nothing() -> None:
    key.given(issued, revoked).when(replace(revoke, reason="again")).then_nothing()


def test_a_key_that_was_never_issued_cannot_be_revoked() -> None:
    key.given().when(revoke).then_refused(KeyUnknown)


def test_a_key_may_run_out_and_have_a_limit_of_its_own() -> None:
    own: dict[str, Any] = {"expires_at": LATER, "requests_per_minute": 60}

    key.given().when(replace(issue, **own)).then(replace(issued, **own))


@pytest.mark.parametrize(
    "useless",
    [{"expires_at": NOW}, {"expires_at": NOW, "now": LATER}, {"requests_per_minute": 0}],
)
def test_a_key_that_would_open_nothing_is_not_issued(useless: dict[str, Any]) -> None:
    key.given().when(replace(issue, **useless)).then_refused(KeyUseless)


def test_a_key_cannot_be_issued_for_longer_afterwards() -> None:
    command = replace(issue, expires_at=LATER)

    key.given(issued).when(command).then_refused(KeyIssuedOtherwise)


def test_a_key_of_before_there_was_an_expiry_never_expires() -> None:
    written = f"""{{"key_id": "{ID}", "name": "scanners", "prefix": "ts_abcdefgh",
        "hash": "{"0" * 64}", "scopes": ["scan:write"], "issued_at": "2030-01-01T00:00:00Z"}}"""

    assert Codec([KeyIssued]).decode("KeyIssued", 1, written.encode()) == issued
