"""Applies the reports of agents: a report becomes the events that a worker would record (R24).

Reports may be repeated, late, and received by any process. A repeated report records nothing, and
nothing is recorded after the end of an operation.
"""

import asyncio
import re
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog

from libs.errors import NotFound
from services.scale_bridge.bridges.adapters.wire import Misunderstood
from services.scale_bridge.bridges.domain import Report, ReportStage
from services.scale_bridge.bridges.stores import agent_assignments
from services.scale_bridge.bridges.stores.agent_assignments import AgentAssignment
from services.scale_bridge.catalogue.domain.catalogue import Catalogue
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.adapters import catalogue_file
from services.scale_bridge.driver.adapters.operation import Fetched
from services.scale_bridge.driver.domain import document as documents
from services.scale_bridge.driver.domain.document import STRICT, Strictness
from services.scale_bridge.driver.domain.fault import BadCatalogue
from services.scale_bridge.driver.domain.plain_text import one_line
from services.scale_bridge.operations.domain import (
    Operation,
    OperationOver,
    OperationUnknown,
    queued_of,
)
from services.scale_bridge.operations.handlers import completion, operation
from services.scale_bridge.operations.handlers.job_context import JobContext
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.transfer.domain.failure_texts import (
    UNKNOWN_OUTCOME,
    UNKNOWN_OUTCOME_TEXT,
)
from services.scale_bridge.transfer.domain.kinds import Kind, Outcome
from services.scale_bridge.transfer.handlers.device_task import (
    DeviceTask,
    Performed,
    doubted,
    failed_by,
)

OUTCOMES: Final = frozenset(Outcome)
CODE: Final = re.compile(r"[A-Za-z]{0,40}")
MOST_DETAIL: Final = 1000

log = structlog.get_logger(__name__)


async def apply_report(
    context: Context,
    tenant: str,
    bridge_id: UUID,
    task_id: UUID,
    report: Report,
    content: bytes | None,
) -> tuple[JobContext | None, int]:
    """Apply a report; the follow-up task of the operation, if any, and its attempts so far.

    Safe to repeat. Raises Misunderstood, VersionConflict, Unavailable.
    """
    row = await agent_assignments.get(context.system, tenant, bridge_id, task_id)
    if row is None:
        log.info("report of an unknown task")
        return None, 0
    following, state = None, None
    try:
        state = await operation.load(context, tenant, row.operation_id)
        if state.ended is None:
            loaded = replace(
                _job_context(tenant, row, state),
                correlation_id=await operation.correlation_of(context, row.operation_id),
            )
            following = await _apply(context, loaded, row, state, report, content, bridge_id)
        else:
            log.info("report too late", stage=report.stage, outcome=report.outcome)
    except (OperationOver, OperationUnknown):
        log.info("operation in other hands")
    return following, state.attempts if state is not None else 0


async def _apply(
    context: Context,
    loaded: JobContext,
    row: AgentAssignment,
    state: Operation,
    report: Report,
    content: bytes | None,
    bridge_id: UUID,
) -> JobContext | None:
    match report.stage:
        case ReportStage.BEGAN:
            if state.attempts < row.attempts + report.attempt:
                await completion.on_started(context, loaded, holder_of(bridge_id))
        case ReportStage.APPLIED:
            await completion.on_applied(context, loaded, report.items or 0)
        case ReportStage.ENDED:
            strictness = await _strictness(context, loaded)
            performed = await _performed(row, report, content, strictness)
            return await completion.on_finished(context, loaded, performed)
    return None


def holder_of(bridge_id: UUID) -> str:
    """The holder of operations that an agent executes."""
    return f"bridge {bridge_id}"


def job_of(tenant: str, row: AgentAssignment) -> Job:
    """The job of an assigned task."""
    return Job(
        tenant=tenant,
        operation_id=row.operation_id,
        device_id=row.device_id,
        deadline_at=row.deadline_at,
    )


def _job_context(tenant: str, row: AgentAssignment, state: Operation) -> JobContext:
    """The context of a task as it was when the task was sent, as far as completion needs it."""
    device_task = DeviceTask(
        operation_id=row.operation_id,
        device_id=row.device_id,
        kind=Kind(row.kind),
        address=row.address,
        port=row.port,
        password="",
        seconds=0.0,
        desired=None if row.content is None else {"products": []},
    )
    return JobContext(
        job=job_of(tenant, row),
        device_task=device_task,
        queued=queued_of(state),
        catalogue=Catalogue(revision=row.revision),
        content=row.content,
    )


async def _strictness(context: Context, loaded: JobContext) -> Strictness:
    """The present strictness of the device; strict if it was removed."""
    try:
        its = await device.load(context, loaded.job.tenant, loaded.job.device_id)
    except NotFound:
        return STRICT
    return its.device.overrides.strictness


async def _performed(
    row: AgentAssignment, report: Report, content: bytes | None, strictness: Strictness
) -> Performed:
    """The result that an agent reports, with the same checks as a scale's own answers.

    Raises Misunderstood.
    """
    if report.outcome not in OUTCOMES or not CODE.fullmatch(report.code):
        raise Misunderstood("a report of nothing known")
    try:
        read = None if content is None else await asyncio.to_thread(_read, content, strictness)
    except BadCatalogue as fault:
        # An agent of another version accepted the catalogue: its result cannot be trusted.
        return doubted(failed_by(fault), row.kind)
    performed = Performed(
        outcome=Outcome(report.outcome),
        code=report.code,
        detail=one_line(report.detail, MOST_DETAIL),
        result=report.result,
        read=read,
        items=report.items,
        doubtful=report.doubtful,
    )
    if report.catalogue == row.content:
        return performed
    # The task was sent twice with different catalogues, and the agent executed the other one.
    return replace(
        performed,
        outcome=Outcome.UNKNOWN,
        code=UNKNOWN_OUTCOME,
        detail=UNKNOWN_OUTCOME_TEXT,
        doubtful=True,
    )


def _read(content: bytes, strictness: Strictness) -> Fetched:
    document = catalogue_file.parse(content, strictness)
    return Fetched(
        document=document,
        file=content,
        md5=documents.digest(content),
        items=len(document["products"]),
        seconds=0.0,
    )
