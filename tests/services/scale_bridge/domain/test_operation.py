"""An operation goes one way, and ends once."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contracts.scale_bridge import (
    DeviceId,
    OperationApplied,
    OperationEnded,
    OperationId,
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

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ID, DEVICE = OperationId(UUID(int=1)), DeviceId(UUID(int=2))
VERIFIED = Result(outcome=Outcome.VERIFIED, revision=3, content="md5", items=5)


def queue(kind: Kind = Kind.UPLOAD) -> Queue:
    return Queue(
        operation_id=ID,
        device_id=DEVICE,
        kind=kind,
        full=False,
        asked_by="anna",
        bridge=None,
        seconds=120,
        now=NOW,
    )


def was_queued(kind: Kind = Kind.UPLOAD) -> OperationQueued:
    return OperationQueued(
        operation_id=ID,
        device_id=DEVICE,
        kind=kind,
        full=False,
        asked_by="anna",
        bridge=None,
        queued_at=NOW,
        deadline_at=NOW + timedelta(seconds=120),
    )


def began(attempt: int = 1, holder: str = "worker") -> OperationSending:
    return OperationSending(
        operation_id=ID,
        device_id=DEVICE,
        holder=holder,
        attempt=attempt,
        revision=3,
        began_at=NOW,
    )


APPLIED = OperationApplied(
    operation_id=ID, device_id=DEVICE, revision=3, content="md5", items=5, applied_at=NOW
)


def ended(attempts: int = 1) -> OperationEnded:
    return OperationEnded(
        operation_id=ID,
        device_id=DEVICE,
        kind="upload",
        outcome="verified",
        code="",
        detail="",
        result=None,
        revision=3,
        content="md5",
        items=5,
        attempts=attempts,
        ended_at=NOW,
    )


BEGIN = Begin(holder="worker", revision=3, now=NOW)
APPLY = Apply(revision=3, content="md5", items=5, now=NOW)
END = End(result=VERIFIED, now=NOW)


def test_an_operation_goes_from_step_to_step() -> None:
    """(R24)"""
    Scenario(OPERATION).when(queue()).then(was_queued())
    Scenario(OPERATION).given(was_queued()).when(BEGIN).then(began())
    Scenario(OPERATION).given(was_queued(), began()).when(BEGIN).then(began(2))
    Scenario(OPERATION).given(was_queued(), began()).when(APPLY).then(APPLIED)
    Scenario(OPERATION).given(was_queued(), began(), APPLIED).when(APPLY).then_nothing()
    Scenario(OPERATION).given(was_queued(), began(), APPLIED).when(END).then(ended())


def test_an_operation_ends_once() -> None:
    """(R24)"""
    over = Scenario(OPERATION).given(was_queued(), began(), ended())

    over.when(END).then_nothing()
    over.when(BEGIN).then_refused(OperationOver)
    over.when(APPLY).then_refused(OperationOver)


def test_ordering_it_again_changes_nothing() -> None:
    Scenario(OPERATION).given(was_queued()).when(queue()).then_nothing()


def test_nobody_takes_an_operation_out_of_anothers_hands() -> None:
    other = Begin(holder="other", revision=3, now=NOW)

    Scenario(OPERATION).given(was_queued(), began()).when(other).then_refused(OperationOver)


@pytest.mark.parametrize("command", [BEGIN, APPLY, END])
def test_what_nobody_ordered_is_not_done(command: Begin | Apply | End) -> None:
    Scenario(OPERATION).when(command).then_refused(OperationUnknown)


@pytest.mark.parametrize(
    ("history", "outcome", "code"),
    [
        ([was_queued()], Outcome.FAILED, "NotBegun"),
        ([was_queued(), began()], Outcome.UNKNOWN, "Interrupted"),
        ([was_queued(Kind.REFRESH), began()], Outcome.UNKNOWN, "Interrupted"),
        ([was_queued(Kind.FETCH), began()], Outcome.FAILED, "Interrupted"),
        ([was_queued(Kind.VERIFY), began()], Outcome.FAILED, "Interrupted"),
        ([was_queued(), began(), APPLIED], Outcome.DONE, ""),
    ],
)
def test_what_its_holder_left_ends_as_far_as_it_is_known(
    history: list[ScaleBridgeEvent], outcome: Outcome, code: str
) -> None:
    """(R4, R25)"""
    result = abandoned(OPERATION.state_after(history))

    assert (result.outcome, result.code) == (outcome, code)
