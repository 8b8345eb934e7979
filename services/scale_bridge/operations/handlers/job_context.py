"""A claimed job with everything it needs, loaded from the log."""

from dataclasses import dataclass
from typing import Final

import structlog

from contracts.scale_bridge import OperationQueued
from libs.errors import NotFound
from libs.eventsourcing.log import Metadata
from libs.security.sealing import SealBroken
from services.scale_bridge.catalogue.domain.catalogue import (
    DATES,
    Catalogue,
    CatalogueCommand,
    RefreshDates,
)
from services.scale_bridge.catalogue.domain.fetched import set_by_people
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.domain.document import Document
from services.scale_bridge.operations.domain import queued_of
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.expiry import (
    HEAL,
    end,
    expire,
    failure,
    job_metadata,
)
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.transfer.domain.failure_texts import (
    DEVICE_UNKNOWN,
    NOTHING_CACHED,
    PASSWORD_LOST,
)
from services.scale_bridge.transfer.domain.kinds import KINDS, Kind
from services.scale_bridge.transfer.handlers.device_task import DeviceTask

log = structlog.get_logger(__name__)

SOON_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class JobContext:
    """An operation under way, with what it was begun on: the copy as it was, and its MD5.

    `queued` is what was asked for; of a refresh whose scale was never read, the task is only to
    read it, for a start.
    """

    job: Job
    device_task: DeviceTask
    queued: OperationQueued
    copy: Catalogue
    content: str | None
    device_version: int
    correlation_id: str | None = None

    @property
    def metadata(self) -> Metadata:
        """On whose behalf what follows is told."""
        return job_metadata(self.job, self.queued.asked_by, self.correlation_id)

    @property
    def is_first_half(self) -> bool:
        """Whether another task follows."""
        return KINDS[Kind(self.queued.kind)].first is self.device_task.kind


async def load(context: Context, job: Job) -> JobContext | None:
    """What is to be done; None if there is nothing to do, or no more. Raises Unavailable.

    What cannot be done ends here.
    """
    try:
        found = await operation.load(context, job.tenant, job.operation_id)
    except NotFound:
        # The row comes before the event; a row that stays without one is dropped.
        if context.clock() >= job.deadline_at:
            await context.work.done(job.tenant, job.operation_id)
        else:
            await context.work.later(job.tenant, job.operation_id, SOON_SECONDS)
        return None
    queued = queued_of(found)
    if found.ended is not None:
        await context.work.done(job.tenant, job.operation_id)
        return None
    if found.holder is not None or context.clock() >= queued.deadline_at:
        await expire(context, job, found)
        return None
    try:
        return await build(context, job, queued)
    except NotFound:
        await end(context, job, queued.asked_by, failure(DEVICE_UNKNOWN))
    except SealBroken:
        log.error("password not readable", device=str(job.device_id))
        await end(context, job, queued.asked_by, failure(PASSWORD_LOST))
    return None


async def build(context: Context, job: Job, queued: OperationQueued) -> JobContext | None:
    """The case of an operation; None if it cannot be done, and ended so.

    Raises DeviceUnknown, SealBroken, Unavailable.
    """
    kind = Kind(queued.kind)
    spec = KINDS[kind]
    # The device first: a copy that is looked at later is not another scale's.
    its = await device.load(context, job.tenant, job.device_id)
    copy = (await catalogue.load(context, job.tenant, job.device_id)).catalogue
    if spec.refreshes_dates and copy.valid:
        copy = await _refreshed(context, job, queued)
    wanted = copy.document if copy.valid and spec.compares else None
    if spec.needs_catalogue and wanted is None:
        await end(context, job, queued.asked_by, failure(NOTHING_CACHED))
        return None
    content = None
    if wanted is not None:
        content = await document_store.put(
            context.pool, job.tenant, job.device_id, copy.revision, wanted
        )
    auto = spec.automatic or queued.asked_by == HEAL
    device_task = DeviceTask(
        operation_id=job.operation_id,
        device_id=job.device_id,
        kind=spec.first if spec.first is not None and wanted is None else kind,
        address=its.details.ip,
        port=its.details.port,
        password=context.seal.open(its.details.password, str(job.device_id)),
        seconds=(queued.deadline_at - context.clock()).total_seconds(),
        full=queued.full,
        desired=wanted,
        known=await _known(context, job, copy) if spec.sends else None,
        diagnose=context.diagnose_auto if auto else context.diagnose,
        strictness=its.device.overrides.strictness,
    )
    return JobContext(
        job=job,
        device_task=device_task,
        queued=queued,
        copy=copy,
        content=content,
        device_version=its.version,
        correlation_id=await operation.correlation_of(context, job.operation_id),
    )


async def _refreshed(context: Context, job: Job, queued: OperationQueued) -> Catalogue:
    """Have everything made today (R13), by the clock its runs go by, but for what people dated
    themselves since it was ordered."""
    its = await context.hooks.schedule_zone(context.store, context.pool, job.tenant, job.device_id)
    now, since = context.clock().astimezone(its or context.zone), queued.catalogue_revision

    async def command(_: Catalogue) -> CatalogueCommand:
        changes = await catalogue.changes_after(context, job.tenant, job.device_id, since)
        return RefreshDates(
            device_id=job.device_id, now=now, except_plus=set_by_people(changes, DATES)
        )

    metadata = job_metadata(job, queued.asked_by)
    return (await catalogue.change(context, job.device_id, command, metadata)).catalogue


async def _known(context: Context, job: Job, copy: Catalogue) -> Document | None:
    """What the scale was last known to hold, if that is still kept."""
    if copy.on_scale is None:
        return None
    return (await document_store.get(context.pool, job.tenant, [copy.on_scale])).get(copy.on_scale)
