"""When a scale is asked at all."""

from datetime import UTC, datetime, timedelta

import pytest

from services.scale_bridge.domain.breaker import Breaker, Pass, Rules, Wait, ask, told
from services.scale_bridge.domain.fault import (
    BadCatalogue,
    Disconnected,
    Flaw,
    ImportFailed,
    Overloaded,
    ScaleBusy,
    ScaleFault,
    Timeout,
    UnknownOutcome,
    Unreachable,
    WrongPassword,
)

RULES = Rules()
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def after(*faults: ScaleFault | None) -> Breaker:
    breaker = Breaker()
    for fault in faults:
        breaker = told(breaker, fault, NOW, RULES)
    return breaker


def unknown(cause: ScaleFault | None) -> UnknownOutcome:
    fault = UnknownOutcome()
    fault.__cause__ = cause
    return fault


def test_three_transport_failures_in_a_row_open_it() -> None:
    """(R6)"""
    assert ask(after(Timeout(), Unreachable()), NOW, RULES)[1] == Pass()
    assert ask(after(Timeout(), Unreachable(), Disconnected()), NOW, RULES)[1] == Wait(30)
    assert ask(after(*[unknown(Timeout())] * 3), NOW, RULES)[1] == Wait(30)


@pytest.mark.parametrize(
    "answer",
    [None, WrongPassword(), ScaleBusy(), ImportFailed(), BadCatalogue(Flaw.HASH), unknown(None)],
    ids=lambda fault: type(fault).__name__,
)
def test_whatever_the_scale_answers_does_not_open_it_and_begins_the_count_anew(
    answer: ScaleFault | None,
) -> None:
    """(R6)"""
    assert after(*[answer] * 5) == Breaker()
    assert after(Timeout(), Timeout(), answer, Timeout(), Timeout()).shut_until is None


def test_an_operation_that_never_began_says_nothing() -> None:
    """(R6)"""
    assert after(Timeout(), Overloaded(), Timeout()) == after(Timeout(), Timeout())


def test_one_probe_is_let_through_per_cool_down() -> None:
    """(R6)"""
    opened = after(*[Timeout()] * 3)

    assert ask(opened, later(29.5), RULES)[1] == Wait(0.5)
    probing, verdict = ask(opened, later(30), RULES)
    assert verdict == Pass(probe=True)
    assert ask(probing, later(31), RULES)[1] == Wait(29)
    # The one who probed never came back: the next cool-down has a probe of its own.
    assert ask(probing, later(60), RULES)[1] == Pass(probe=True)


def test_a_probe_that_succeeds_closes_it_and_one_that_fails_does_not() -> None:
    """(R6)"""
    probing, _ = ask(after(*[Timeout()] * 3), later(30), RULES)

    assert told(probing, None, later(31), RULES) == Breaker()
    assert told(probing, WrongPassword(), later(31), RULES) == Breaker()
    failed = told(probing, Timeout(), later(31), RULES)
    assert ask(failed, later(60), RULES)[1] == Wait(1)
