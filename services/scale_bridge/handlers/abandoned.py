"""How operations end that nobody does any more, and what is done about it (R25)."""

from dataclasses import replace
from typing import Final

import structlog

from libs.eventsourcing.log import Cause
from services.scale_bridge.adapters.work import Job
from services.scale_bridge.domain.copy_commands import Confirm, Doubt
from services.scale_bridge.domain.operation import Operation, abandoned, queued_of
from services.scale_bridge.domain.operation_commands import Kind, Outcome, Result
from services.scale_bridge.domain.wording import sentence
from services.scale_bridge.handlers import catalogue, operation, price
from services.scale_bridge.handlers.desk import Desk

log = structlog.get_logger(__name__)

HEAL: Final = "heal"
READS: Final = frozenset({Kind.FETCH, Kind.REFRESH})
"""What may make a catalogue of what a scale holds."""


async def leave(desk: Desk, job: Job, found: Operation) -> None:
    """End an operation whose holder is gone, or that nobody began in time (R25)."""
    result, queued = abandoned(found), queued_of(found)
    cause = cause_of(job, queued.asked_by)
    if result.outcome is Outcome.DONE and result.content is not None:
        command = Confirm(
            device_id=job.device_id,
            operation_id=job.operation_id,
            revision=result.revision or 0,
            content=result.content,
            now=desk.clock(),
        )
        await catalogue.change(desk, job.device_id, command, cause)
    elif result.outcome is Outcome.UNKNOWN:
        await doubt(desk, job, cause, None)
    if queued.kind in READS:
        # It may have been read, and what the shop said not been held against that.
        await price.hold(desk, job.tenant, job.device_id, job.operation_id, sends=True)
    detail = sentence(result.code) if result.code else ""
    await end(desk, job, queued.asked_by, replace(result, detail=detail))


async def doubt(desk: Desk, job: Job, cause: Cause, content: str | None) -> None:
    """The scale may not hold what it confirmed, but `content`, or nobody knows what."""
    command = Doubt(
        device_id=job.device_id,
        operation_id=job.operation_id,
        content=content,
        now=desk.clock(),
    )
    await catalogue.change(desk, job.device_id, command, cause)


async def end(desk: Desk, job: Job, asked_by: str, result: Result) -> None:
    """Tell the end. Safe to repeat."""
    await operation.end(desk, job.operation_id, result, cause_of(job, asked_by))
    log.info("operation ended", outcome=result.outcome, code=result.code)


def failed_so(code: str) -> Result:
    """A failure of ours, not the scale's."""
    return Result(outcome=Outcome.FAILED, code=code, detail=sentence(code))


def cause_of(job: Job, asked_by: str, correlation_id: str | None = None) -> Cause:
    """On whose behalf what follows from an operation is told."""
    return Cause(
        tenant=job.tenant,
        actor=asked_by,
        correlation_id=correlation_id,
        causation_id=str(job.operation_id),
    )
