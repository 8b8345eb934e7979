"""The ends of operations that no attempt completes: expired, aborted, impossible (R25)."""

from dataclasses import replace

import structlog

from libs.eventsourcing.log import Metadata
from services.scale_bridge.catalogue.domain.catalogue import Confirm, RevokeConfirmation
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import Context
from services.scale_bridge.operations.domain import Operation, Result, expired_result, queued_of
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.transfer.domain.failure_texts import sentence
from services.scale_bridge.transfer.domain.kinds import MAY_ADOPT, Outcome

log = structlog.get_logger(__name__)


async def abort(context: Context, job: Job, code: str) -> None:
    """End an operation that a fault of this service stopped: callers must not wait for nothing.

    Safe to repeat. Raises Unavailable, LogUnavailable.
    """
    state = await operation.load(context, job.tenant, job.operation_id)
    if state.ended is None:
        await expire(context, job, state, code=code)


async def expire(context: Context, job: Job, state: Operation, *, code: str = "") -> None:
    """End an operation whose holder is gone, or that did not begin in time (R25).

    A failed one ends with `code`, if it is given. Safe to repeat. Raises Unavailable,
    LogUnavailable.
    """
    kinds = await context.hooks.agent_kinds(context.system, job.tenant, job.operation_id)
    result, queued = expired_result(state, agent_kinds=kinds), queued_of(state)
    if code and result.code:
        result = replace(result, code=code)
    metadata = job_metadata(job, queued.asked_by)
    if result.outcome is Outcome.DONE and result.content is not None:
        command = Confirm(
            device_id=job.device_id,
            operation_id=job.operation_id,
            revision=result.revision or 0,
            content=result.content,
            now=context.clock(),
        )
        await catalogue.change(context, job.device_id, command, metadata)
    elif result.outcome is Outcome.UNKNOWN:
        await mark_unverified(context, job, metadata, None)
    if queued.kind in MAY_ADOPT:
        # The scale may have been read, and the shop's prices not yet been applied to that.
        await context.hooks.after_fetch(context, job, since=queued.catalogue_revision, sends=True)
    detail = sentence(result.code, result.outcome) if result.code else ""
    await record_end(context, job, queued.asked_by, replace(result, detail=detail))


async def mark_unverified(
    context: Context, job: Job, metadata: Metadata, content: str | None
) -> None:
    """Record that the scale may not hold the catalogue it confirmed.

    `content` is the MD5 of what it holds instead, None if that is unknown.
    """
    command = RevokeConfirmation(
        device_id=job.device_id,
        operation_id=job.operation_id,
        content=content,
        now=context.clock(),
    )
    await catalogue.change(context, job.device_id, command, metadata)


async def record_end(context: Context, job: Job, actor: str, result: Result) -> None:
    """Record the end of a job's operation, on behalf of `actor`. Safe to repeat."""
    await operation.record_end(context, job.operation_id, result, job_metadata(job, actor))
    log.info("operation ended", outcome=result.outcome, code=result.code)


def failure(code: str) -> Result:
    """The result of an operation that failed for a reason of this service, not of the scale."""
    return Result(outcome=Outcome.FAILED, code=code, detail=sentence(code))


def job_metadata(job: Job, actor: str, correlation_id: str | None = None) -> Metadata:
    """The metadata of events that follow from a job's operation."""
    return Metadata(
        tenant=job.tenant,
        actor=actor,
        correlation_id=correlation_id,
        causation_id=str(job.operation_id),
    )
