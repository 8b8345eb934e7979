"""Expiring stale operations (R25)."""

from dataclasses import replace
from typing import Final

import structlog

from libs.eventsourcing.log import Metadata
from services.scale_bridge.catalogue.domain.catalogue import Confirm, RevokeConfirmation
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import Context
from services.scale_bridge.operations.domain import Operation, abandoned, queued_of
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.transfer.domain.commands import Outcome, Result
from services.scale_bridge.transfer.domain.failure_texts import sentence
from services.scale_bridge.transfer.domain.kinds import MAY_ADOPT

log = structlog.get_logger(__name__)

HEAL: Final = "heal"


async def abort(context: Context, job: Job, code: str) -> None:
    """End an operation that a fault of ours stopped, so that no caller waits for it in vain.

    Safe to repeat. Raises Unavailable, LogUnavailable.
    """
    found = await operation.load(context, job.tenant, job.operation_id)
    if found.ended is None:
        await expire(context, job, found, code=code)


async def expire(context: Context, job: Job, found: Operation, *, code: str = "") -> None:
    """End an operation whose holder is gone, or that was not begun in time (R25).

    Unless it is done, it ends with the `code`, if one is given.
    """
    kinds = await context.hooks.agent_kinds(context.pool, job.tenant, job.operation_id)
    result, queued = abandoned(found, handed=kinds), queued_of(found)
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
        # It may have been read, and what the shop said not been held against that.
        await context.hooks.after_fetch(context, job, since=queued.catalogue_revision, sends=True)
    detail = sentence(result.code, result.outcome) if result.code else ""
    await end(context, job, queued.asked_by, replace(result, detail=detail))


async def mark_unverified(
    context: Context, job: Job, metadata: Metadata, content: str | None
) -> None:
    """The scale may not hold what it confirmed, but `content`; None if that is unknown."""
    command = RevokeConfirmation(
        device_id=job.device_id,
        operation_id=job.operation_id,
        content=content,
        now=context.clock(),
    )
    await catalogue.change(context, job.device_id, command, metadata)


async def end(context: Context, job: Job, asked_by: str, result: Result) -> None:
    """Tell the end. Safe to repeat."""
    await operation.end(context, job.operation_id, result, job_metadata(job, asked_by))
    log.info("operation ended", outcome=result.outcome, code=result.code)


def failure(code: str) -> Result:
    """A failure of ours, not the scale's."""
    return Result(outcome=Outcome.FAILED, code=code, detail=sentence(code))


def job_metadata(job: Job, asked_by: str, correlation_id: str | None = None) -> Metadata:
    """On whose behalf what follows from an operation is told."""
    return Metadata(
        tenant=job.tenant,
        actor=asked_by,
        correlation_id=correlation_id,
        causation_id=str(job.operation_id),
    )
