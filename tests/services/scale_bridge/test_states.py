"""What follows from what is known of a scale: its state on the board and the reason (SCL-12), how
far a price is (SCL-16), and which operation it needs, when and how often (SCL-9, SCL-15, R6)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.scale_bridge.monitoring import domain as device_status
from services.scale_bridge.monitoring.domain import NOT_TRIED, UNREACHABLE, Ended, State
from services.scale_bridge.prices import domain as delivery
from services.scale_bridge.prices.domain import Doing
from services.scale_bridge.schedules.domain.recovery import (
    HOPELESS,
    Health,
    Last,
    Rules,
    is_owed,
    next_action,
    next_change,
)
from services.scale_bridge.transfer.domain.kinds import Kind

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def failed(code: str, detail: str = "") -> Ended:
    return Ended(outcome="failed", code=code, detail=detail, at=NOON)


@pytest.mark.parametrize(
    ("different", "state", "said"),
    [
        ({}, State.OK, "подтвердили всё"),
        ({"revision": 5}, State.DIRTY, "неотправленные"),
        ({"confirmed": None, "pending": 3}, State.DIRTY, "Отличается товаров: 3."),
        ({"confirmed": None, "caught": True, "pending": 2}, State.LYING, "показывают другие"),
        ({"last": failed("WrongPassword")}, State.WRONG_PASSWORD, "пароль"),
        ({"last": failed("Timeout", "Тишина.")}, State.UNREACHABLE, "Тишина."),
        ({"caught": True, "last": failed("Unreachable")}, State.UNREACHABLE, "Нет соединения"),
        ({"revision": 5, "last": failed("ImportFailed", "Беда.")}, State.DIRTY, "Беда."),
        ({"heard_at": None}, State.UNKNOWN, "ещё не было"),
        ({"valid": False}, State.UNKNOWN, "адресу"),
    ],
)
def test_a_scale_has_one_state_and_a_reason(
    different: dict[str, Any], state: State, said: str
) -> None:
    well = device_status.Facts(valid=True, revision=4, confirmed=4, heard_at=NOON)
    found = device_status.device_status(replace(well, **different))

    assert found.state is state
    assert said in found.reason


def test_what_never_came_to_the_scale_says_nothing_of_it() -> None:
    assert not NOT_TRIED & UNREACHABLE


def test_the_worst_comes_first() -> None:
    states = list(State)
    assert (states[0], states[-1]) == (State.LYING, State.OK)


def doing(stage: str = "ended", outcome: str | None = "verified", code: str = "") -> Doing:
    ended_at = NOON if stage == "ended" else None
    return Doing(stage=stage, outcome=outcome, code=code, detail=code, ended_at=ended_at)


def price(**different: Any) -> delivery.PriceState:
    """How far a price is that a scale took, as far as nothing else is known."""
    known: dict[str, Any] = {"sold": True, "taken_at": NOON, **different}
    return delivery.price_state(delivery.Facts(**known))


TIMEOUT, NOT_SHOWN = doing(outcome="failed", code="Timeout"), doing("ended", "failed", "NotShown")
UNKNOWN = doing(outcome="unknown", code="UnknownOutcome")


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({"taken_at": None}, delivery.State.WAITING),
        ({"moved": True, "overridden_at": NOON}, delivery.State.WAITING),
        ({"doing": doing()}, delivery.State.APPLIED),
        ({"doing": doing(), "verified_at": NOON}, delivery.State.VERIFIED),
        ({"doing": TIMEOUT, "verified_at": NOON}, delivery.State.VERIFIED),
        ({"doing": UNKNOWN}, delivery.State.FAILED),
        ({"overridden_at": NOON, "verified_at": NOON}, delivery.State.OVERRIDDEN),
    ],
)
def test_how_far_a_price_is(known: dict[str, Any], state: delivery.State) -> None:
    assert price(**known).state is state


def test_a_failed_price_has_a_code_and_a_reason() -> None:
    refused, drifted = price(doing=NOT_SHOWN), price(verified_at=NOON, seen_otherwise=True)

    assert (refused.code, refused.detail, refused.failed_at) == ("NotShown", "NotShown", NOON)
    assert drifted.code == "NotShown"
    assert drifted.detail


RULES = Rules()


def last(kind: str, outcome: str = "verified", code: str = "", at: datetime = NOON) -> Last:
    return Last(kind=kind, outcome=outcome, code=code, at=at)


def health(tried: Last, transfer: Last | None = None, **known: Any) -> Health:
    read = Health(device_id=UUID(int=0), valid=True, read_at=NOON, ended_at=tried.at)
    return replace(read, tried=tried, transfer=transfer, **known)


def hurt(end: Last, failures: int = 1, **known: Any) -> Health:
    """A scale whose last transfer ended so, with something that it does not show."""
    return health(end, end, dirty=True, failures=failures, **known)


WELL = health(last("upload"), last("upload"))
MISSED, BACK = last("upload", "failed", "Unreachable"), last("probe", "done")
LIAR = last("upload", "failed", "NotShown")
BUSY = health(BACK, MISSED, dirty=True, ended_at=NOON + 5 * MINUTE)


@pytest.mark.parametrize(
    ("known", "after", "rules", "needed"),
    [
        pytest.param(WELL, 120 * MINUTE, Rules(idle=None), None, id="well for ever"),
        # Another operation is under way with it.
        pytest.param(BUSY, 5 * MINUTE + timedelta(seconds=1), RULES, None, id="busy"),
        pytest.param(BUSY, 5 * MINUTE + RULES.first, RULES, Kind.UPLOAD, id="busy a while ago"),
        pytest.param(Health(device_id=UUID(int=1)), 5 * MINUTE, RULES, None, id="never read"),
        *(
            pytest.param(hurt(last("upload", "failed", code)), 1440 * MINUTE, RULES, None, id=code)
            for code in sorted(HOPELESS)
        ),
    ],
)
def test_what_a_scale_needs_beyond_what_its_history_says(
    known: Health, after: timedelta, rules: Rules, needed: Kind | None
) -> None:
    assert next_action(known, NOON + after, rules) is needed


@pytest.mark.parametrize("known", [WELL, BUSY, *(hurt(LIAR, n) for n in (1, 4)), hurt(MISSED, 2)])
def test_between_the_moments_at_which_a_remedy_may_change_it_does_not(known: Health) -> None:
    """So it need not be computed in between."""
    changes, now, next_at = 0, NOON, next_change(known, NOON, RULES)
    for second in range(2 * 60 * 60):
        before, now = next_action(known, now, RULES), NOON + timedelta(seconds=second)
        if before is not next_action(known, now, RULES):
            assert next_at is not None
            assert next_at <= now
            changes += 1
        if next_at is not None and next_at <= now:
            next_at = next_change(known, now, RULES)

    assert changes
    assert next_at is None


@pytest.mark.parametrize("code", sorted(HOPELESS))
def test_what_would_fail_again_is_not_owed(code: str) -> None:
    assert not is_owed(hurt(last("upload", "failed", code)))


def test_the_more_often_it_failed_the_longer_it_is_left_alone() -> None:
    def wait(failures: int) -> int:
        known = hurt(LIAR, failures)
        moments = range(100_000)
        return next(n for n in moments if next_action(known, NOON + timedelta(seconds=n), RULES))

    waits = [wait(failures) for failures in range(1, 12)]

    assert waits[:4] == [15, 30, 60, 120]
    assert waits[-1] == RULES.longest.total_seconds()


def test_scales_that_failed_together_are_not_asked_together() -> None:
    silent, now = hurt(MISSED, 4), NOON + RULES.first * 8 * 1.1
    asked = [
        next_action(replace(silent, device_id=UUID(int=n)), now, RULES) for n in range(0, 1009, 9)
    ]
    assert {*asked} == {None, Kind.PROBE}
