"""After which failures a whole operation is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scale_bridge.domain.fault import (
    BadAnswer,
    BadCatalogue,
    Disconnected,
    Flaw,
    ImportFailed,
    Overloaded,
    ScaleBusy,
    ScaleFault,
    ScaleRefused,
    Timeout,
    UnknownOutcome,
    Unreachable,
    WrongPassword,
    answered,
)
from services.scale_bridge.domain.retry import Again, GiveUp, ReadBack, after


def named(fault: ScaleFault) -> str:
    return f"{fault.code} {fault.result or getattr(fault, 'flaw', '')}"


PASSING: list[ScaleFault] = [
    Unreachable(),
    Timeout(),
    Disconnected(),
    BadAnswer(),
    ScaleBusy(result=0xC7),
    ScaleBusy(result=0xAC),
    ScaleRefused(result=0xAB),
    BadCatalogue(Flaw.HASH),
    BadCatalogue(Flaw.CHUNK),
]
LASTING: list[ScaleFault] = [
    WrongPassword(result=0x7A),
    ImportFailed("плохо"),
    ScaleRefused(result=0xCB),
    ScaleRefused(result=0xEE),
    ScaleRefused(),
    BadCatalogue(Flaw.NOT_JSON),
    BadCatalogue(Flaw.DUPLICATE_PLU),
    Overloaded(),
]


@pytest.mark.parametrize("fault", PASSING, ids=named)
def test_what_may_pass_is_tried_three_times_at_most(fault: ScaleFault) -> None:
    """(R3)"""
    tried = [
        after(fault, attempts=attempts, left_seconds=100, chance=0.5) for attempts in (1, 2, 3)
    ]

    assert tried == [Again(0.5), Again(1.0), GiveUp()]


@pytest.mark.parametrize("fault", LASTING, ids=named)
def test_what_would_be_the_same_again_is_not_tried_again(fault: ScaleFault) -> None:
    """(R3)"""
    assert after(fault, attempts=1, left_seconds=100, chance=0.5) == GiveUp()


def test_an_unknown_outcome_is_looked_into_and_not_repeated() -> None:
    """(R4)"""
    assert after(UnknownOutcome(), attempts=1, left_seconds=100, chance=0.5) == ReadBack()
    assert after(UnknownOutcome(), attempts=3, left_seconds=0, chance=0.5) == ReadBack()


@given(st.floats(-5, 20), st.floats(0, 1), st.integers(1, 5))
def test_no_attempt_begins_when_there_is_no_time_for_it(
    left: float, chance: float, attempts: int
) -> None:
    """(R3)"""
    match after(Timeout(), attempts=attempts, left_seconds=left, chance=chance):
        case Again(after_seconds=wait):
            assert 0 < wait < left
        case verdict:
            assert verdict == GiveUp()


def test_scales_that_failed_together_do_not_come_together() -> None:
    """(R3)"""
    waits = {after(Timeout(), attempts=1, left_seconds=9, chance=c / 10) for c in range(11)}

    assert len(waits) == 11


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0x7A, WrongPassword),
        (0xC7, ScaleBusy),
        (0xAC, ScaleBusy),
        (0xCB, ScaleRefused),
        (0x01, ScaleRefused),
    ],
)
def test_a_result_code_is_what_it_means(code: int, kind: type[ScaleFault]) -> None:
    """(R16)"""
    fault = answered(code)

    assert type(fault) is kind
    assert fault.result == code
    assert fault.code == kind.__name__
