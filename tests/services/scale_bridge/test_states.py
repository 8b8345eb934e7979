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
from services.scale_bridge.prices.domain import Transfer
from services.scale_bridge.schedules.domain.recovery import (
    HOPELESS,
    Health,
    PastOperation,
    RecoveryRules,
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
        ({"last_exchange": None}, State.UNKNOWN, "ещё не было"),
        ({"valid": False}, State.UNKNOWN, "адресу"),
    ],
)
def test_a_scale_has_one_status_and_a_reason(
    different: dict[str, Any], state: State, said: str
) -> None:
    well = device_status.DeviceFacts(valid=True, revision=4, confirmed=4, last_exchange=NOON)
    found = device_status.device_status(replace(well, **different))

    assert found.state is state
    assert said in found.reason


def test_codes_of_operations_that_never_reached_a_scale_are_not_of_silent_scales() -> None:
    assert not NOT_TRIED & UNREACHABLE


def test_the_worst_comes_first() -> None:
    states = list(State)
    assert (states[0], states[-1]) == (State.LYING, State.OK)


def transfer(stage: str = "ended", outcome: str | None = "verified", code: str = "") -> Transfer:
    ended_at = NOON if stage == "ended" else None
    return Transfer(stage=stage, outcome=outcome, code=code, detail=code, ended_at=ended_at)


def price(**different: Any) -> delivery.PriceState:
    """How far a price is that a scale took, as far as nothing else is known."""
    known: dict[str, Any] = {"sold": True, "taken_at": NOON, **different}
    return delivery.price_state(delivery.DeliveryFacts(**known))


TIMEOUT, NOT_SHOWN = (
    transfer(outcome="failed", code="Timeout"),
    transfer("ended", "failed", "NotShown"),
)
UNKNOWN = transfer(outcome="unknown", code="UnknownOutcome")


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({"taken_at": None}, delivery.State.WAITING),
        ({"moved": True, "overridden_at": NOON}, delivery.State.WAITING),
        ({"transfer": transfer()}, delivery.State.APPLIED),
        ({"transfer": transfer(), "verified_at": NOON}, delivery.State.VERIFIED),
        ({"transfer": TIMEOUT, "verified_at": NOON}, delivery.State.VERIFIED),
        ({"transfer": UNKNOWN}, delivery.State.FAILED),
        ({"overridden_at": NOON, "verified_at": NOON}, delivery.State.OVERRIDDEN),
    ],
)
def test_the_state_of_a_price(known: dict[str, Any], state: delivery.State) -> None:
    assert price(**known).state is state


def test_a_failed_price_has_a_code_and_a_reason() -> None:
    refused, drifted = price(transfer=NOT_SHOWN), price(verified_at=NOON, seen_otherwise=True)

    assert (refused.code, refused.detail, refused.failed_at) == ("NotShown", "NotShown", NOON)
    assert drifted.code == "NotShown"
    assert drifted.detail


RULES = RecoveryRules()


def last(
    kind: str, outcome: str = "verified", code: str = "", at: datetime = NOON
) -> PastOperation:
    return PastOperation(kind=kind, outcome=outcome, code=code, at=at)


def health(tried: PastOperation, transfer: PastOperation | None = None, **known: Any) -> Health:
    read = Health(device_id=UUID(int=0), valid=True, read_at=NOON, ended_at=tried.at)
    return replace(read, tried=tried, transfer=transfer, **known)


def hurt(end: PastOperation, failures: int = 1, **known: Any) -> Health:
    """A scale whose last transfer ended so, with something that it does not show."""
    return health(end, end, dirty=True, failures=failures, **known)


WELL = health(last("upload"), last("upload"))
MISSED, BACK = last("upload", "failed", "Unreachable"), last("probe", "done")
LIAR = last("upload", "failed", "NotShown")
BUSY = health(BACK, MISSED, dirty=True, ended_at=NOON + 5 * MINUTE)


@pytest.mark.parametrize(
    ("known", "after", "rules", "needed"),
    [
        pytest.param(WELL, 120 * MINUTE, RecoveryRules(idle=None), None, id="well for ever"),
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
def test_the_next_action_by_the_health_of_a_scale(
    known: Health, after: timedelta, rules: RecoveryRules, needed: Kind | None
) -> None:
    assert next_action(known, NOON + after, rules) is needed


@pytest.mark.parametrize("known", [WELL, BUSY, *(hurt(LIAR, n) for n in (1, 4)), hurt(MISSED, 2)])
def test_the_next_action_changes_only_at_next_change(known: Health) -> None:
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
def test_an_upload_that_would_fail_again_is_not_owed(code: str) -> None:
    assert not is_owed(hurt(last("upload", "failed", code)))


def test_pauses_grow_with_every_failure() -> None:
    def wait(failures: int) -> int:
        known = hurt(LIAR, failures)
        moments = range(100_000)
        return next(n for n in moments if next_action(known, NOON + timedelta(seconds=n), RULES))

    waits = [wait(failures) for failures in range(1, 12)]

    assert waits[:4] == [15, 30, 60, 120]
    assert waits[-1] == RULES.longest.total_seconds()


def test_scales_that_failed_together_have_different_pauses() -> None:
    silent, now = hurt(MISSED, 4), NOON + RULES.first * 8 * 1.1
    asked = [
        next_action(replace(silent, device_id=UUID(int=n)), now, RULES) for n in range(0, 1009, 9)
    ]
    assert {*asked} == {None, Kind.PROBE}
