"""The rules of a session, above all those of the exchange of refresh tokens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway import (
    AccountDeactivated,
    AccountId,
    AccountOpened,
    AccountRemoved,
    GatewayEvent,
    PasswordSet,
    RoleGranted,
    RoleWithdrawn,
    SessionId,
    SessionOpened,
    SessionRefreshed,
    SessionRevoked,
)
from libs.testing.decisions import NOTHING, Outcome, assert_decides, decisions
from services.gateway.accounts.domain.account import ACCOUNT
from services.gateway.accounts.domain.realm import Workspace
from services.gateway.sessions.domain.session import (
    MAX_DEVICE,
    SESSION,
    OpenSession,
    RefreshSession,
    RevokeSession,
    SessionExists,
    SessionOver,
    SessionUnknown,
    ended_by,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
GRACE = 10 * SECOND
ID, ANNA, EVE = SessionId(UUID(int=1)), AccountId(UUID(int=2)), AccountId(UUID(int=3))
CRM = Workspace("crm", "demo")

open_it = OpenSession(
    session_id=ID, account_id=ANNA, workspace=CRM, device="phone", now=NOW, lifetime=DAY
)
session_opened = SessionOpened(
    session_id=ID,
    account_id=ANNA,
    realm="crm",
    tenant="demo",
    device="phone",
    opened_at=NOW,
    expires_at=NOW + DAY,
)
refresh = RefreshSession(rotation=1, ended=None, grace=GRACE, now=NOW + SECOND, lifetime=DAY)
refreshed = SessionRefreshed(
    session_id=ID, generation=2, refreshed_at=NOW + SECOND, expires_at=NOW + SECOND + DAY
)
revoke = RevokeSession(account_id=ANNA, reason="revoked", now=NOW)
revoked = SessionRevoked(session_id=ID, account_id=ANNA, reason="revoked", revoked_at=NOW)

lost = replace(revoke, account_id=None)
last_second, too_late = NOW + SECOND + GRACE, NOW + SECOND + GRACE + timedelta(microseconds=1)


def reused(at: datetime) -> SessionRevoked:
    return replace(revoked, reason="reuse", revoked_at=at)


ended = replace(revoked, reason="password", revoked_at=refresh.now)
with_long_device = replace(session_opened, device="x" * MAX_DEVICE)
rotated: list[GatewayEvent] = [session_opened, refreshed]
rotated_twice = [*rotated, replace(refreshed, generation=3)]
next_day = replace(refresh, rotation=2, now=NOW + DAY)
refreshed_next_day = replace(
    refreshed, generation=3, refreshed_at=NOW + DAY, expires_at=NOW + 2 * DAY
)


@decisions(
    ("opens", [], open_it, [session_opened]),
    ("opens once", [session_opened], open_it, SessionExists),
    ("a long device is cut", [], replace(open_it, device="x" * 1000), [with_long_device]),
    ("refreshed though unknown", [], refresh, SessionOver),
    ("the current token gives the next", [session_opened], refresh, [refreshed]),
    ("the one before in the grace", rotated, replace(refresh, now=last_second), NOTHING),
    ("the one before after the grace", rotated, replace(refresh, now=too_late), [reused(too_late)]),
    ("the one before that at once", rotated_twice, refresh, [reused(refresh.now)]),
    ("a token never given", [session_opened], replace(refresh, rotation=2), SessionOver),
    ("ran out", [session_opened], replace(refresh, now=NOW + DAY), SessionOver),
    ("refreshed, and did not run out", rotated, next_day, [refreshed_next_day]),
    ("refreshed after revoked", [session_opened, revoked], refresh, SessionOver),
    ("ended by the account", [session_opened], replace(refresh, ended="password"), [ended]),
    ("revoked", [session_opened], revoke, [revoked]),
    ("revoked twice", [session_opened, revoked], replace(revoke, reason="logout"), NOTHING),
    ("revoked by another", [session_opened], replace(revoke, account_id=EVE), SessionUnknown),
    ("revoked by its token", [session_opened], lost, [revoked]),
    ("unknown, revoked", [], revoke, SessionUnknown),
    ("unknown, revoked by its token", [], lost, SessionUnknown),
)
def test_sessions_decide(history: Sequence[GatewayEvent], command: Any, outcome: Outcome) -> None:
    assert_decides(SESSION, history, command, outcome)


BEFORE, AFTER = NOW - DAY, NOW + SECOND
account_opened = AccountOpened(account_id=ANNA, number=1, sealed="", opened_at=BEFORE)
engineer = RoleGranted(
    account_id=ANNA, realm="crm", tenant="demo", role="ENGINEER", granted_at=BEFORE
)


def password_set(at: datetime) -> PasswordSet:
    return PasswordSet(account_id=ANNA, sealed="", set_at=at)


def withdrawn(tenant: str) -> RoleWithdrawn:
    return RoleWithdrawn(account_id=ANNA, realm="crm", tenant=tenant, withdrawn_at=AFTER)


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        ([], None),
        ([password_set(BEFORE)], None),
        ([password_set(NOW)], None),
        ([password_set(AFTER)], "password"),
        ([AccountDeactivated(account_id=ANNA, reason="", deactivated_at=AFTER)], "deactivated"),
        ([AccountRemoved(account_id=ANNA, removed_at=AFTER)], "removed"),
        ([withdrawn("demo")], "revoked"),
        ([withdrawn("other")], None),
    ],
)
def test_an_account_may_end_its_sessions(since: list[GatewayEvent], reason: str | None) -> None:
    account = ACCOUNT.state_after([account_opened, engineer, *since])

    assert ended_by(account, SESSION.state_after([session_opened])) == reason


Steps = list[tuple[int, int]]
steps = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40)
"""Seconds that go by, and how many rotations behind the current one the token is."""


@given(steps)
def test_in_whatever_order_tokens_come_only_the_last_two_ever_open(steps: Steps) -> None:
    history: list[GatewayEvent] = [session_opened]
    now, rotated_at, rotation, over = NOW, None, 1, False
    for seconds, behind in steps:
        now += seconds * SECOND
        state = SESSION.state_after(history)
        command = replace(refresh, rotation=rotation - behind, now=now, lifetime=400 * DAY)
        if over:
            with pytest.raises(SessionOver):
                SESSION.decide(state, command)
            continue
        events = SESSION.decide(state, command)
        history += events
        graceful = behind == 1 and rotated_at is not None and now - rotated_at <= GRACE
        if behind == 0:
            rotation, rotated_at = rotation + 1, now
            assert [type(event) for event in events] == [SessionRefreshed]
        elif graceful:
            assert events == []
        else:
            over = True
            assert events == [reused(now)]
        after = SESSION.state_after(history)
        assert (after.rotation, after.revoked) == (rotation, over)
