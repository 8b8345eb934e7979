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
from services.scale_bridge.devices.handlers.device import LoadedDevice
from services.scale_bridge.driver.domain.document import Document
from services.scale_bridge.operations.domain import BY_RECOVERY, queued_of
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.expiry import (
    expire,
    failure,
    job_metadata,
    record_end,
)
from services.scale_bridge.operations.stores.work import Job, WorkQueue
from services.scale_bridge.transfer.domain.failure_texts import (
    DEVICE_UNKNOWN,
    NOTHING_CACHED,
    PASSWORD_LOST,
)
from services.scale_bridge.transfer.domain.kinds import Kind
from services.scale_bridge.transfer.handlers.device_task import DeviceTask

log = structlog.get_logger(__name__)

SOON_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class JobContext:
    """A job, its task for the device, and the catalogue it began with; `content` is its MD5.

    `queued` is the request. The task of a refresh is a fetch as long as no valid catalogue is
    stored.
    """

    job: Job
    device_task: DeviceTask
    queued: OperationQueued
    catalogue: Catalogue
    content: str | None
    correlation_id: str | None = None

    @property
    def metadata(self) -> Metadata:
        """The metadata of events that follow from the job."""
        return job_metadata(self.job, self.queued.asked_by, self.correlation_id)

    @property
    def is_first_half(self) -> bool:
        """Whether another task of the same operation follows this one."""
        return self.device_task.kind != self.queued.kind


async def load(context: Context, job: Job) -> JobContext | None:
    """The context of a claimed job; None if there is nothing to execute.

    An operation that cannot be executed is ended. Raises Unavailable.
    """
    try:
        state = await operation.load(context, job.tenant, job.operation_id)
    except NotFound:
        # The row comes before the event; a row that stays without one is dropped.
        if context.clock() >= job.deadline_at:
            await WorkQueue.of(context).done(job.tenant, job.operation_id)
        else:
            later = WorkQueue.of(context).later
            await later(job.tenant, job.operation_id, seconds=SOON_SECONDS)
        return None
    queued = queued_of(state)
    if state.ended is not None:
        await WorkQueue.of(context).done(job.tenant, job.operation_id)
        return None
    if state.holder is not None or context.clock() >= queued.deadline_at:
        await expire(context, job, state)
        return None
    return await build(context, job, queued)


async def build(context: Context, job: Job, queued: OperationQueued) -> JobContext | None:
    """The context of an operation; None if it cannot be executed: then it is ended.

    Raises Unavailable.
    """
    try:
        return await _build(context, job, queued)
    except NotFound:
        await record_end(context, job, queued.asked_by, failure(DEVICE_UNKNOWN))
    except SealBroken:
        log.error("password not readable", device=str(job.device_id))
        await record_end(context, job, queued.asked_by, failure(PASSWORD_LOST))
    return None


async def _build(context: Context, job: Job, queued: OperationQueued) -> JobContext | None:
    spec = Kind(queued.kind).spec
    # The device first: a catalogue that is loaded after it belongs to the same address.
    loaded = await device.load(context, job.tenant, job.device_id)
    copy = (await catalogue.load(context, job.tenant, job.device_id)).catalogue
    if spec.refreshes_dates and copy.valid:
        copy = await _with_new_dates(context, job, queued)
    document = copy.document if copy.valid and spec.compares else None
    if spec.needs_catalogue and document is None:
        await record_end(context, job, queued.asked_by, failure(NOTHING_CACHED))
        return None
    content = None
    if document is not None:
        content = await document_store.put(
            context.system, job.tenant, job.device_id, copy.revision, document
        )
    return JobContext(
        job=job,
        device_task=await _device_task(context, job, queued, loaded, copy, document),
        queued=queued,
        catalogue=copy,
        content=content,
        correlation_id=await operation.correlation_of(context, job.operation_id),
    )


async def _device_task(
    context: Context,
    job: Job,
    queued: OperationQueued,
    loaded: LoadedDevice,
    copy: Catalogue,
    document: Document | None,
) -> DeviceTask:
    """Raises SealBroken."""
    kind, details = Kind(queued.kind), loaded.details
    automatic = kind.spec.automatic or queued.asked_by == BY_RECOVERY
    return DeviceTask(
        operation_id=job.operation_id,
        device_id=job.device_id,
        kind=Kind.FETCH if kind.spec.fetches_first and document is None else kind,
        address=details.ip,
        port=details.port,
        password=context.settings.seal().open(details.password, str(job.device_id)),
        seconds=(queued.deadline_at - context.clock()).total_seconds(),
        full=queued.full,
        desired=document,
        known=await _on_scale(context, job, copy) if kind.spec.sends else None,
        diagnose=context.settings.diagnose_auto if automatic else context.settings.diagnose,
        strictness=loaded.device.overrides.strictness,
    )


async def _with_new_dates(context: Context, job: Job, queued: OperationQueued) -> Catalogue:
    """The catalogue with all products dated today (R13), by the clock of the device's schedule.

    Dates that people set since the operation was queued stay.
    """
    zone = await context.hooks.schedule_zone(context, job.tenant, job.device_id)
    now, since = (
        context.clock().astimezone(zone or context.settings.zone),
        queued.catalogue_revision,
    )

    async def command(_: Catalogue) -> CatalogueCommand:
        changes = await catalogue.changes_after(context, job.tenant, job.device_id, since)
        return RefreshDates(
            device_id=job.device_id, now=now, except_plus=set_by_people(changes, DATES)
        )

    metadata = job_metadata(job, queued.asked_by)
    return (await catalogue.change(context, job.device_id, command, metadata)).catalogue


async def _on_scale(context: Context, job: Job, copy: Catalogue) -> Document | None:
    """The catalogue that the scale held last; None if that is unknown or no longer stored."""
    if copy.on_scale is None:
        return None
    return (await document_store.get(context.system, job.tenant, [copy.on_scale])).get(
        copy.on_scale
    )
