"""An operation goes one way, and ends once (R4, R24, R25)."""

from datetime import UTC, datetime, timedelta
from typing import Any
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


def test_an_operation_goes_from_step_to_step() -> None:
    """(R24)"""
    Scenario(OPERATION).when(QUEUE).then(QUEUED)
    queued = Scenario(OPERATION).given(QUEUED)
    queued.when(QUEUE).then_nothing()
    queued.when(BEGIN).then(BEGAN)
    queued.given(BEGAN).when(BEGIN).then(made(OperationSending, attempt=2))
    queued.given(BEGAN).when(APPLY).then(APPLIED)
    queued.given(BEGAN, APPLIED).when(APPLY).then_nothing()
    queued.given(BEGAN, APPLIED).when(END).then(ENDED)


def test_an_operation_ends_once() -> None:
    """(R24)"""
    over = Scenario(OPERATION).given(QUEUED, BEGAN, ENDED)

    over.when(END).then_nothing()
    over.when(BEGIN).then_refused(OperationOver)
    over.when(APPLY).then_refused(OperationOver)


def test_an_operation_under_way_stays_with_its_holder() -> None:
    other = made(Begin, holder="other")

    Scenario(OPERATION).given(QUEUED, BEGAN).when(other).then_refused(OperationOver)


@pytest.mark.parametrize("command", [BEGIN, APPLY, END], ids=["begin", "apply", "end"])
def test_what_was_never_ordered_is_not_done(command: Any) -> None:
    Scenario(OPERATION).when(command).then_refused(OperationUnknown)


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
