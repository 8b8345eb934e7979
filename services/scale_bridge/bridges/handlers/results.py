"""What a daemon reports of a task becomes what the service itself would tell of it (R24).

Reports come more than once, late, and to any process: what was told is not told again, and after
the end of an operation nothing is.
"""

import asyncio
import re
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog

from libs.errors import NotFound
from services.scale_bridge.bridges.adapters.wire import Misunderstood
from services.scale_bridge.bridges.domain import Report, Stage
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
from services.scale_bridge.transfer.domain.commands import Outcome
from services.scale_bridge.transfer.domain.failure_texts import (
    UNKNOWN_OUTCOME,
    UNKNOWN_OUTCOME_TEXT,
    with_unknown_outcome,
)
from services.scale_bridge.transfer.domain.kinds import SENDS, Kind
from services.scale_bridge.transfer.handlers.device_task import DeviceTask, Performed, failed_by

OUTCOMES: Final = frozenset(Outcome)
CODE: Final = re.compile(r"[A-Za-z]{0,40}")
MOST_DETAIL: Final = 1000

log = structlog.get_logger(__name__)


async def take_in(
    context: Context,
    tenant: str,
    bridge_id: UUID,
    errand_id: UUID,
    report: Report,
    content: bytes | None,
) -> tuple[JobContext | None, int]:
    """Tell the log; what is to be done next of the same operation, if anything, and its attempts.

    Safe to repeat. Raises Misunderstood, VersionConflict, Unavailable.
    """
    row = await agent_assignments.get(context.pool, tenant, bridge_id, errand_id)
    if row is None:
        log.info("report of nothing that was handed out")
        return None, 0
    following, found = None, None
    try:
        found = await operation.load(context, tenant, row.operation_id)
        if found.ended is None:
            case = replace(
                _case(tenant, row, found),
                correlation_id=await operation.correlation_of(context, row.operation_id),
            )
            following = await _apply(context, case, row, found, report, content, bridge_id)
        else:
            log.info("report too late", stage=report.stage, outcome=report.outcome)
    except (OperationOver, OperationUnknown):
        log.info("operation in other hands")
    return following, found.attempts if found is not None else 0


async def _apply(
    context: Context,
    case: JobContext,
    row: AgentAssignment,
    found: Operation,
    report: Report,
    content: bytes | None,
    bridge_id: UUID,
) -> JobContext | None:
    match report.stage:
        case Stage.BEGAN:
            if found.attempts < row.attempts + report.attempt:
                await completion.on_started(context, case, holder_of(bridge_id))
        case Stage.APPLIED:
            await completion.on_applied(context, case, report.items or 0)
        case Stage.ENDED:
            strictness = await _strictness(context, case)
            performed = await _performed(row, report, content, strictness)
            return await completion.on_finished(context, case, performed)
    return None


def holder_of(bridge_id: UUID) -> str:
    """Who holds what a daemon does."""
    return f"bridge {bridge_id}"


def job_of(tenant: str, row: AgentAssignment) -> Job:
    """The work that was handed out."""
    return Job(
        tenant=tenant,
        operation_id=row.operation_id,
        device_id=row.device_id,
        deadline_at=row.deadline_at,
    )


def _case(tenant: str, row: AgentAssignment, found: Operation) -> JobContext:
    """The case as it was when the work was handed out, as far as what follows needs it."""
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
        queued=queued_of(found),
        copy=Catalogue(revision=row.revision),
        content=row.content,
        device_version=0,
    )


async def _strictness(context: Context, case: JobContext) -> Strictness:
    """As it is now: strict for a scale that was removed."""
    try:
        its = await device.load(context, case.job.tenant, case.job.device_id)
    except NotFound:
        return STRICT
    return its.device.overrides.strictness


async def _performed(
    row: AgentAssignment, report: Report, content: bytes | None, strictness: Strictness
) -> Performed:
    """What the daemon says it did; it is checked like what scales say.

    Raises Misunderstood.
    """
    if report.outcome not in OUTCOMES or not CODE.fullmatch(report.code):
        raise Misunderstood("a report of nothing known")
    try:
        read = None if content is None else await asyncio.to_thread(_read, content, strictness)
    except BadCatalogue as fault:
        # A daemon of another version took it; what it says of the scale is not known to be true.
        sends = row.kind in SENDS
        bad = failed_by(fault, doubtful=sends)
        doubted = replace(bad, outcome=Outcome.UNKNOWN, detail=with_unknown_outcome(bad.detail))
        return doubted if sends else bad
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
    # It was handed out twice, and the daemon did the other: whatever it was, it was not this.
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
