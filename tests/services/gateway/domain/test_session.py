"""The rules of a session, above all those of the exchange of refresh tokens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from libs.eventsourcing.testing import Scenario
from services.gateway.domain.account import ACCOUNT
from services.gateway.domain.realm import Place
from services.gateway.domain.session import (
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
CRM = Place("crm", "demo")

open_it = OpenSession(
    session_id=ID, account_id=ANNA, place=CRM, device="phone", now=NOW, lifetime=DAY
)
opened = SessionOpened(
    session_id=ID,
    account_id=ANNA,
    realm="crm",
    tenant="demo",
    device="phone",
    opened_at=NOW,
    expires_at=NOW + DAY,
)
refresh = RefreshSession(generation=1, ended=None, grace=GRACE, now=NOW + SECOND, lifetime=DAY)
refreshed = SessionRefreshed(
    session_id=ID, generation=2, refreshed_at=NOW + SECOND, expires_at=NOW + SECOND + DAY
)
revoke = RevokeSession(account_id=ANNA, reason="revoked", now=NOW)
revoked = SessionRevoked(session_id=ID, account_id=ANNA, reason="revoked", revoked_at=NOW)

session = Scenario(SESSION)
current = session.given(opened)
rotated = session.given(opened, refreshed)


def reused(at: datetime) -> SessionRevoked:
    return replace(revoked, reason="reuse", revoked_at=at)


def test_a_session_opens() -> None:
    session.given().when(open_it).then(opened)


def test_a_session_opens_once() -> None:
    current.when(open_it).then_refused(SessionExists)


def test_a_device_of_any_length_is_remembered_in_short() -> None:
    long = replace(open_it, device="x" * 1000)

    session.given().when(long).then(replace(opened, device="x" * MAX_DEVICE))


def test_the_current_token_gives_the_next() -> None:
    current.when(refresh).then(refreshed)


def test_the_token_before_gives_the_current_one_again_within_the_grace() -> None:
    rotated.when(replace(refresh, now=NOW + SECOND + GRACE)).then_nothing()


def test_the_token_before_ends_the_session_after_the_grace() -> None:
    late = NOW + SECOND + GRACE + timedelta(microseconds=1)

    rotated.when(replace(refresh, now=late)).then(reused(late))


def test_a_token_before_that_ends_the_session_at_once() -> None:
    third = replace(refreshed, generation=3)

    rotated.given(third).when(refresh).then(reused(refresh.now))


def test_a_token_that_was_never_given_is_refused_and_ends_nothing() -> None:
    current.when(replace(refresh, generation=2)).then_refused(SessionOver)


def test_a_session_that_ran_out_cannot_be_refreshed() -> None:
    current.when(replace(refresh, now=NOW + DAY)).then_refused(SessionOver)
    rotated.when(replace(refresh, generation=2, now=NOW + DAY)).then(
        replace(refreshed, generation=3, refreshed_at=NOW + DAY, expires_at=NOW + 2 * DAY)
    )


def test_a_revoked_session_cannot_be_refreshed() -> None:
    current.given(revoked).when(refresh).then_refused(SessionOver)


def test_a_session_nobody_opened_cannot_be_refreshed() -> None:
    session.given().when(refresh).then_refused(SessionOver)


def test_an_account_that_ended_it_ends_it_at_the_next_refresh() -> None:
    current.when(replace(refresh, ended="password")).then(
        replace(revoked, reason="password", revoked_at=refresh.now)
    )


def test_a_session_can_be_revoked_and_a_second_time_changes_nothing() -> None:
    current.when(revoke).then(revoked)
    current.given(revoked).when(replace(revoke, reason="logout")).then_nothing()


def test_somebody_else_cannot_revoke_it() -> None:
    current.when(replace(revoke, account_id=EVE)).then_refused(SessionUnknown)


def test_who_holds_a_token_of_it_can_revoke_it() -> None:
    current.when(replace(revoke, account_id=None)).then(revoked)


def test_a_session_nobody_opened_cannot_be_revoked() -> None:
    session.given().when(revoke).then_refused(SessionUnknown)
    session.given().when(replace(revoke, account_id=None)).then_refused(SessionUnknown)


BEFORE, AFTER = NOW - DAY, NOW + SECOND
account_opened = AccountOpened(account_id=ANNA, number=1, sealed="", opened_at=BEFORE)
engineer = RoleGranted(
    account_id=ANNA, realm="crm", tenant="demo", role="ENGINEER", granted_at=BEFORE
)


def password_set(at: datetime) -> PasswordSet:
    return PasswordSet(account_id=ANNA, sealed="", set_at=at)


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        ([], None),
        ([password_set(BEFORE)], None),
        ([password_set(NOW)], None),
        ([password_set(AFTER)], "password"),
        ([AccountDeactivated(account_id=ANNA, reason="", deactivated_at=AFTER)], "deactivated"),
        ([AccountRemoved(account_id=ANNA, removed_at=AFTER)], "removed"),
        (
            [RoleWithdrawn(account_id=ANNA, realm="crm", tenant="demo", withdrawn_at=AFTER)],
            "revoked",
        ),
        (
            [RoleWithdrawn(account_id=ANNA, realm="crm", tenant="other", withdrawn_at=AFTER)],
            None,
        ),
    ],
)
def test_what_happened_to_the_account_since_ends_the_session(
    since: list[GatewayEvent], reason: str | None
) -> None:
    account = ACCOUNT.state_after([account_opened, engineer, *since])

    assert ended_by(account, SESSION.state_after([opened])) == reason


Steps = list[tuple[int, int]]
steps = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40)
"""Seconds that go by, and how many generations behind the current one the shown token is."""


@given(steps)
def test_however_tokens_are_shown_only_the_last_two_ever_open(steps: Steps) -> None:
    history: list[GatewayEvent] = [opened]
    now, rotated_at, generation, over = NOW, None, 1, False
    for seconds, behind in steps:
        now += seconds * SECOND
        state = SESSION.state_after(history)
        asked = replace(refresh, generation=generation - behind, now=now, lifetime=400 * DAY)
        if over:
            with pytest.raises(SessionOver):
                SESSION.decide(state, asked)
            continue
        told = SESSION.decide(state, asked)
        history += told
        graceful = behind == 1 and rotated_at is not None and now - rotated_at <= GRACE
        if behind == 0:
            generation, rotated_at = generation + 1, now
            assert [type(event) for event in told] == [SessionRefreshed]
        elif graceful:
            assert told == []
        else:
            over = True
            assert told == [reused(now)]
        after = SESSION.state_after(history)
        assert (after.generation, after.revoked) == (generation, over)
