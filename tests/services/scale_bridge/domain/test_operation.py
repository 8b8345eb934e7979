"""An operation goes one way, and ends once (R4, R24, R25)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contracts.scale_bridge import (
    OperationApplied,
    OperationEnded,
    OperationQueued,
    OperationSending,
    ScaleBridgeEvent,
)
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.operation import (
    OPERATION,
    OperationOver,
    OperationUnknown,
    abandoned,
)
from services.scale_bridge.domain.operation_commands import (
    Apply,
    Begin,
    End,
    Kind,
    Outcome,
    Queue,
    Result,
)
from tests.services.scale_bridge.decisions import decisions, row
from tests.services.scale_bridge.usual import Usual

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
CONTENT = {"revision": 3, "content": "md5", "items": 5}
made = Usual(NOW, operation_id=UUID(int=1), device_id=UUID(int=2), holder="worker", **CONTENT)


def was_queued(kind: Kind = Kind.UPLOAD) -> OperationQueued:
    return made(OperationQueued, kind=kind, deadline_at=NOW + timedelta(seconds=120))


QUEUED, BEGAN, APPLIED = was_queued(), made(OperationSending), made(OperationApplied)
ENDED = made(OperationEnded, kind="upload", outcome="verified")
QUEUE, BEGIN, APPLY = made(Queue, kind=Kind.UPLOAD, seconds=120), made(Begin), made(Apply)
END = End(result=Result(outcome=Outcome.VERIFIED, revision=3, content="md5", items=5), now=NOW)


UNDER_WAY: list[ScaleBridgeEvent] = [QUEUED, BEGAN]

test_what_is_decided = decisions(
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
    """(R24)"""
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
def test_what_its_holder_left_ends_as_far_as_it_is_known(
    history: list[ScaleBridgeEvent], outcome: Outcome, code: str
) -> None:
    """(R4, R25)"""
    result = abandoned(OPERATION.state_after(history))

    assert (result.outcome, result.code) == (outcome, code)
