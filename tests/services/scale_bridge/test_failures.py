"""An operation goes one way, and ends once (R24, R25); and what follows from a failure: another
attempt, a read-back, or silence until the breaker lets one operation through; what result codes
mean (R3, R4, R6, R16)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.scale_bridge import (
    OperationApplied,
    OperationEnded,
    OperationQueued,
    OperationSending,
    ScaleBridgeEvent,
)
from libs.eventsourcing.testing import Scenario
from libs.testing.decisions import decision_table, row
from services.scale_bridge.driver.domain.fault import (
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
from services.scale_bridge.driver.domain.result_code import MEANINGS, Advice, ResultCode, meaning
from services.scale_bridge.operations.domain import (
    OPERATION,
    Apply,
    Begin,
    End,
    OperationOver,
    OperationUnknown,
    Queue,
    Result,
    expired_result,
)
from services.scale_bridge.transfer.domain.breaker import (
    Breaker,
    BreakerRules,
    Pass,
    Verdict,
    Wait,
    allowed,
    recorded,
)
from services.scale_bridge.transfer.domain.kinds import Kind, Outcome
from services.scale_bridge.transfer.domain.retry import Again, GiveUp, ReadBack, decide_retry
from tests.services.scale_bridge.usual import Usual

RULES = BreakerRules()
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def named(fault: ScaleFault | None) -> str:
    if fault is None:
        return "no fault"
    return f"{fault.code} {fault.result or getattr(fault, 'flaw', '')}"


PASSING: list[ScaleFault] = [
    *(Unreachable(), Timeout(), Disconnected(), BadAnswer()),
    *(ScaleBusy(result=0xC7), ScaleBusy(result=0xAC), ScaleRefused(result=0xAB)),
    *(BadCatalogue(Flaw.HASH), BadCatalogue(Flaw.CHUNK)),
]
LASTING: list[ScaleFault] = [
    *(WrongPassword(result=0x7A), ImportFailed("плохо"), Overloaded()),
    *(ScaleRefused(result=0xCB), ScaleRefused(result=0xEE), ScaleRefused()),
    *(BadCatalogue(Flaw.NOT_JSON), BadCatalogue(Flaw.DUPLICATE_PLU)),
]


@pytest.mark.parametrize("fault", PASSING, ids=named)
def test_what_may_pass_is_tried_three_times_at_most(fault: ScaleFault) -> None:
    tried = [decide_retry(fault, attempts=n, left_seconds=100, chance=0.5) for n in (1, 2, 3)]

    assert tried == [Again(0.5), Again(1.0), GiveUp()]


@pytest.mark.parametrize("fault", LASTING, ids=named)
def test_what_would_be_the_same_again_is_not_tried_again(fault: ScaleFault) -> None:
    assert decide_retry(fault, attempts=1, left_seconds=100, chance=0.5) == GiveUp()


def test_an_unknown_outcome_is_looked_into_and_not_repeated() -> None:
    assert decide_retry(UnknownOutcome(), attempts=1, left_seconds=100, chance=0.5) == ReadBack()
    assert decide_retry(UnknownOutcome(), attempts=3, left_seconds=0, chance=0.5) == ReadBack()


@given(st.floats(-5, 20), st.floats(0, 1), st.integers(1, 5))
def test_no_attempt_begins_when_there_is_no_time_for_it(
    left: float, chance: float, attempts: int
) -> None:
    match decide_retry(Timeout(), attempts=attempts, left_seconds=left, chance=chance):
        case Again(after_seconds=wait):
            assert 0 < wait < left
        case verdict:
            assert verdict == GiveUp()


def test_scales_that_failed_together_do_not_come_together() -> None:
    waits = {decide_retry(Timeout(), attempts=1, left_seconds=9, chance=c / 10) for c in range(11)}

    assert len(waits) == 11


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def broken(*faults: ScaleFault | None) -> Breaker:
    """A breaker after operations that ended so."""
    breaker = Breaker()
    for fault in faults:
        breaker = recorded(breaker, fault, NOW, RULES)
    return breaker


def verdict(breaker: Breaker, seconds: float = 0) -> Verdict:
    return allowed(breaker, later(seconds), RULES)[1]


def unknown(metadata: ScaleFault | None) -> UnknownOutcome:
    fault = UnknownOutcome()
    fault.__cause__ = metadata
    return fault


OPEN = broken(Timeout(), Timeout(), Timeout())


def test_three_transport_failures_in_a_row_open_it() -> None:
    assert verdict(broken(Timeout(), Unreachable())) == Pass()
    assert verdict(broken(Timeout(), Unreachable(), Disconnected())) == Wait(30)
    assert verdict(broken(*[unknown(Timeout())] * 3)) == Wait(30)


@pytest.mark.parametrize(
    "answer",
    [None, WrongPassword(), ScaleBusy(), ImportFailed(), BadCatalogue(Flaw.HASH), unknown(None)],
    ids=named,
)
def test_whatever_the_scale_answers_does_not_open_it_and_begins_the_count_anew(
    answer: ScaleFault | None,
) -> None:
    assert broken(*[answer] * 5) == Breaker()
    assert broken(Timeout(), Timeout(), answer, Timeout(), Timeout()).open_until is None


def test_an_operation_that_never_began_says_nothing() -> None:
    assert broken(Timeout(), Overloaded(), Timeout()) == broken(Timeout(), Timeout())


def test_one_probe_is_let_through_per_cool_down() -> None:
    assert verdict(OPEN, 29.5) == Wait(0.5)
    probing, first = allowed(OPEN, later(30), RULES)
    assert first == Pass(trial=True)
    assert verdict(probing, 31) == Wait(29)
    # The one who probed never came back: the next cool-down has a probe of its own.
    assert verdict(probing, 60) == Pass(trial=True)


def test_a_probe_that_succeeds_closes_it_and_one_that_fails_does_not() -> None:
    probing, _ = allowed(OPEN, later(30), RULES)

    assert recorded(probing, None, later(31), RULES) == Breaker()
    assert recorded(probing, WrongPassword(), later(31), RULES) == Breaker()
    assert verdict(recorded(probing, Timeout(), later(31), RULES), 60) == Wait(1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((0x7A, WrongPassword), (0xC7, ScaleBusy), (0xAC, ScaleBusy)),
        *((0xCB, ScaleRefused), (0x01, ScaleRefused)),
    ],
)
def test_a_result_code_is_what_it_means(code: int, kind: type[ScaleFault]) -> None:
    fault = answered(code)

    assert type(fault) is kind
    assert (fault.result, fault.code) == (code, kind.__name__)


@pytest.mark.parametrize("code", ResultCode, ids=lambda code: code.name)
def test_a_documented_code_is_explained_in_both_languages(code: ResultCode) -> None:
    found = MEANINGS[code]

    assert found.english.isascii()
    assert not found.russian.isascii()
    assert (found.advice is Advice.NONE) is (code is ResultCode.SUCCESS)


def test_an_undocumented_code_is_called_unknown() -> None:
    assert meaning(0xEE).advice is Advice.CALL_SERVICE


CONTENT = {"revision": 3, "content": "md5", "items": 5}
made = Usual(NOW, operation_id=UUID(int=1), device_id=UUID(int=2), holder="worker", **CONTENT)


def was_queued(kind: Kind = Kind.UPLOAD) -> OperationQueued:
    return made(OperationQueued, kind=kind, deadline_at=NOW + timedelta(seconds=120))


QUEUED, BEGAN, APPLIED = was_queued(), made(OperationSending), made(OperationApplied)
ENDED = made(OperationEnded, kind="upload", outcome="verified")
QUEUE, BEGIN, APPLY = made(Queue, kind=Kind.UPLOAD, seconds=120), made(Begin), made(Apply)
END = End(result=Result(outcome=Outcome.VERIFIED, revision=3, content="md5", items=5), now=NOW)


UNDER_WAY: list[ScaleBridgeEvent] = [QUEUED, BEGAN]

test_what_is_decided = decision_table(
    OPERATION,
    row("it is ordered", [], QUEUE, QUEUED),
    row("ordered again", [QUEUED], QUEUE),
    row("it begins", [QUEUED], BEGIN, BEGAN),
    row("another attempt", UNDER_WAY, BEGIN, made(OperationSending, attempt=2)),
    row("another holder", UNDER_WAY, made(Begin, holder="other"), OperationOver),
    row("it is applied", UNDER_WAY, APPLY, APPLIED),
    row("applied again", [*UNDER_WAY, APPLIED], APPLY),
    row("it ends", [*UNDER_WAY, APPLIED], END, ENDED),
    row("begin what was never ordered", [], BEGIN, OperationUnknown),
    row("apply what was never ordered", [], APPLY, OperationUnknown),
    row("end what was never ordered", [], END, OperationUnknown),
)


def test_an_operation_ends_once() -> None:
    over = Scenario(OPERATION).given(*UNDER_WAY, ENDED)

    over.when(END).then_nothing()
    over.when(BEGIN).then_refused(OperationOver)
    over.when(APPLY).then_refused(OperationOver)


@pytest.mark.parametrize(
    ("history", "outcome", "code"),
    [
        ([QUEUED], Outcome.FAILED, "NotBegun"),
        ([QUEUED, BEGAN], Outcome.UNKNOWN, "Interrupted"),
        ([was_queued(Kind.REFRESH), BEGAN], Outcome.UNKNOWN, "Interrupted"),
        ([was_queued(Kind.FETCH), BEGAN], Outcome.FAILED, "Interrupted"),
        ([was_queued(Kind.VERIFY), BEGAN], Outcome.FAILED, "Interrupted"),
        ([QUEUED, BEGAN, APPLIED], Outcome.DONE, ""),
    ],
)
def test_the_result_of_an_expired_operation(
    history: list[ScaleBridgeEvent], outcome: Outcome, code: str
) -> None:
    result = expired_result(OPERATION.state_after(history))

    assert (result.outcome, result.code) == (outcome, code)
