"""Applies the result of an operation: read-back facts, catalogue, completion, follow-up task.

Each step may be repeated after a crash: revisions, facts and the one end have ids of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid5

import msgspec

from contracts.scale_bridge import CatalogueFetched, OperationId, ProductsShown, ScaleBridgeEvent
from libs.errors import NotFound
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import Fact
from libs.security.sealing import SealBroken
from services.scale_bridge.catalogue.domain.catalogue import (
    Catalogue,
    CatalogueCommand,
    Confirm,
    TakeFetched,
)
from services.scale_bridge.catalogue.domain.displayed_fields import displayed_by_plu
from services.scale_bridge.catalogue.domain.fetched import EditedMeanwhile
from services.scale_bridge.catalogue.domain.readback import shows
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.adapters.operation import Fetched
from services.scale_bridge.driver.domain.document import Document
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.expiry import HEAL, end, failure, mark_unverified
from services.scale_bridge.operations.handlers.job_context import JobContext, build
from services.scale_bridge.operations.handlers.requests import OperationRequest
from services.scale_bridge.operations.stores import last_shown
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.transfer.domain.commands import Apply, Begin, Outcome, Result
from services.scale_bridge.transfer.domain.failure_texts import (
    DEVICE_UNKNOWN,
    EDITED_MEANWHILE,
    MOVED,
    NOT_SHOWN,
    PASSWORD_LOST,
)
from services.scale_bridge.transfer.domain.kinds import ADOPTS, COMPARES, SENDS, Kind
from services.scale_bridge.transfer.handlers.device_task import Performed


async def on_started(context: Context, case: JobContext, holder: str) -> None:
    """An attempt begins. Raises OperationOver."""
    sends = case.device_task.kind in SENDS
    revision = case.copy.revision if sends else None
    command = Begin(holder=holder, revision=revision, now=context.clock())
    await operation.advance(context, case.job.operation_id, command, case.metadata)


async def on_applied(context: Context, case: JobContext, items: int) -> None:
    """The scale confirmed an import. Raises OperationOver."""
    command = Apply(
        revision=case.copy.revision,
        content=case.content or "",
        items=items,
        now=context.clock(),
    )
    await operation.advance(context, case.job.operation_id, command, case.metadata)


async def on_finished(
    context: Context, case: JobContext, performed: Performed
) -> JobContext | None:
    """It is done: the catalogue, what the scale shows, then the end, or what is to be done next.

    Raises Unavailable, LogUnavailable.
    """
    read_as = None
    if performed.read is not None:
        try:
            read_as = await _taken(context, case, performed.read)
        except _NotTaken as no:
            await end(context, case.job, case.queued.asked_by, failure(no.code))
            return None
        case, performed = await _with_changes(context, case, performed, performed.read)
    if _is_good(performed) and case.is_first_half:
        return await _next(context, case)
    if case.device_task.kind not in ADOPTS:
        await _compared(context, case, performed, read_as)
    result = await _result(context, case, performed, read_as)
    await end(context, case.job, case.queued.asked_by, result)
    return None


async def _next(context: Context, case: JobContext) -> JobContext | None:
    """What is left to do after the scale was read for the first time."""
    try:
        return await build(context, case.job, case.queued)
    except NotFound:
        await end(context, case.job, case.queued.asked_by, failure(DEVICE_UNKNOWN))
    except SealBroken:
        await end(context, case.job, case.queued.asked_by, failure(PASSWORD_LOST))
    return None


async def _taken(context: Context, case: JobContext, read: Fetched) -> str:
    """Take in what a scale was read to hold: its MD5. Raises _NotTaken, the copy being as it was.

    What was changed since the reading was ordered is not lost by it.
    """
    job, since = case.job, case.queued.catalogue_revision
    revision = (await catalogue.load(context, job.tenant, job.device_id)).catalogue.revision + 1
    md5 = await document_store.put(context.pool, job.tenant, job.device_id, revision, read.document)

    async def command(_: Catalogue) -> CatalogueCommand:
        # After the copy was loaded: a change of address invalidates it too.
        found = await device.load(context, job.tenant, job.device_id)
        if (found.details.ip, found.details.port) != (
            case.device_task.address,
            case.device_task.port,
        ):
            raise _NotTaken(MOVED)
        return TakeFetched(
            device_id=job.device_id,
            operation_id=job.operation_id,
            content=md5,
            document=read.document,
            now=context.clock(),
            changes=await catalogue.changes_after(context, job.tenant, job.device_id, since),
        )

    place = f"{case.device_task.address}:{case.device_task.port}"
    # First what was seen, which is true whatever becomes of the copy: if it cannot be kept, the
    # copy stays as it was.
    await record_readback(context, job, read.document, case.metadata, place=place)
    if case.device_task.kind in ADOPTS:
        try:
            await catalogue.change(
                context,
                job.device_id,
                command,
                case.metadata,
                command_id=uuid5(job.operation_id, "read"),
            )
            sends = not case.is_first_half
            await context.hooks.after_fetch(context, job, since=since, sends=sends)
        except EditedMeanwhile:
            await mark_unverified(context, job, case.metadata, md5)
            raise _NotTaken(EDITED_MEANWHILE) from None
        except NotFound:
            raise _NotTaken(MOVED) from None
    return md5


async def _compared(
    context: Context, case: JobContext, performed: Performed, read_as: str | None
) -> None:
    """Whether the scale holds what it shall, as far as is known now (R8)."""
    if _is_good(performed) and case.content is not None:
        overtaken = await _is_overtaken(context, case)
        command = Confirm(
            device_id=case.job.device_id,
            operation_id=case.job.operation_id,
            revision=case.copy.revision,
            content=case.content,
            now=context.clock(),
        )
        await catalogue.change(context, case.job.device_id, command, case.metadata)
        if overtaken:
            # The scale may have been removed.
            with suppress(NotFound):
                await operation.enqueue(context, _once_more(case))
    elif performed.doubtful or (read_as is not None and not _is_good(performed)):
        await mark_unverified(context, case.job, case.metadata, read_as)


async def _with_changes(
    context: Context, case: JobContext, performed: Performed, read: Fetched
) -> tuple[JobContext, Performed]:
    """The verification of a catalogue that was changed, or sent, since it was looked up.

    The scale is right if it shows the revision that it confirmed last, or the present one.
    """
    if case.device_task.kind not in COMPARES - SENDS or performed.code != NOT_SHOWN:
        return case, performed
    job = case.job
    copy = (await catalogue.load(context, job.tenant, job.device_id)).catalogue
    document, on_scale = copy.document, copy.on_scale
    if not copy.valid or document is None or copy.revision == case.copy.revision:
        return case, performed
    verified = Performed(outcome=Outcome.VERIFIED, read=read, items=read.items)
    if shows(document, read.document):
        content = await document_store.put(
            context.pool, job.tenant, job.device_id, copy.revision, document
        )
        return replace(case, copy=copy, content=content), verified
    if not copy.confirmed or on_scale is None:
        return case, performed
    sent = (await document_store.get(context.pool, job.tenant, [on_scale])).get(on_scale)
    if sent is not None and shows(sent, read.document):
        held = replace(copy, revision=copy.confirmed)
        return replace(case, copy=held, content=on_scale), verified
    return case, performed


async def _is_overtaken(context: Context, case: JobContext) -> bool:
    """Whether the scale was sent an earlier revision than one that was sent to it meanwhile."""
    if case.device_task.kind not in SENDS:
        return False
    tenant, device_id, revision = case.job.tenant, case.job.device_id, case.copy.revision
    copy = (await catalogue.load(context, tenant, device_id)).catalogue
    if not copy.valid or copy.confirmed <= revision:
        return False
    changes = await catalogue.changes_after(context, tenant, device_id, revision)
    # What was read in between was not sent: it was not meant for the scale.
    return not any(isinstance(change, CatalogueFetched) for change in changes)


def _once_more(case: JobContext) -> OperationRequest:
    """An upload of what the scale is to show by now."""
    return OperationRequest(
        tenant=case.job.tenant,
        device_id=case.job.device_id,
        operation_id=OperationId(uuid5(case.job.operation_id, "once more")),
        kind=Kind.UPLOAD,
        asked_by=HEAL,
        causation_id=str(case.job.operation_id),
    )


def _is_good(performed: Performed) -> bool:
    return performed.outcome in (Outcome.DONE, Outcome.VERIFIED)


async def _result(
    context: Context, case: JobContext, performed: Performed, read_as: str | None
) -> Result:
    told = Result(
        outcome=performed.outcome,
        code=performed.code,
        detail=performed.detail,
        result=performed.result,
        items=performed.items,
    )
    if case.device_task.kind in ADOPTS and read_as is not None:
        now = await catalogue.load(context, case.job.tenant, case.job.device_id)
        # What the shop's prices and people made of it came after.
        held = now.catalogue.confirmed if now.catalogue.on_scale == read_as else 0
        return replace(told, revision=held or None, content=read_as)
    if case.device_task.desired is not None:
        return replace(told, revision=case.copy.revision, content=case.content)
    return told


class _NotTaken(Exception):
    """What was read cannot become the catalogue; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


PART: Final = 500
PART_BYTES: Final = 200_000
"""How many products one fact tells of, and how many bytes of them: it must fit into the log."""

_encode = msgspec.json.Encoder().encode


async def record_readback(
    context: Context, job: Job, read: Document, metadata: Metadata, *, place: str
) -> None:
    """Tell what the scale, read just now, shows that it did not show before. Safe to repeat.

    `place` is where it was read, its address and port: of a scale that is elsewhere by now nothing
    is told, and of one at a new place everything. Raises Unavailable, LogUnavailable.
    """
    try:
        found = await device.load(context, job.tenant, job.device_id)
    except NotFound:
        return
    if place != f"{found.details.ip}:{found.details.port}":
        return
    before = await last_shown.get(context.pool, job.tenant, job.device_id, place)
    now = displayed_by_plu(read)
    news = {key: shown for key, shown in now.items() if before.get(key) != shown}
    gone = [key for key in before if key not in now]
    if facts := _facts(job, news, gone, context.clock()):
        await context.store.record(facts, metadata=metadata)
    await last_shown.save(context.pool, job.tenant, job.device_id, job.operation_id, place, now)


def _facts(
    job: Job, news: Mapping[str, Mapping[str, Any]], gone: Sequence[str], now: datetime
) -> list[Fact[ScaleBridgeEvent]]:
    keys = [*news, *gone]
    return [
        Fact(
            # A read that is told again, after a crash, may be told at another time: one counts.
            event_id=uuid5(job.operation_id, f"shown {now.isoformat()} {number}"),
            stream=f"shown-{job.device_id}",
            event=ProductsShown(
                device_id=job.device_id,
                operation_id=job.operation_id,
                part=number,
                shown={key: news[key] for key in part if key in news},
                gone=tuple(key for key in part if key not in news),
                seen_at=now,
            ),
            occurred_at=now,
        )
        for number, part in enumerate(_parts(news, keys))
    ]


def _parts(news: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> Iterator[list[str]]:
    """The keys in their order, in parts that each fit into a fact; one product always does."""
    part, room = list[str](), PART_BYTES
    for key in keys:
        size = len(_encode((key, news.get(key))))
        if part and (len(part) >= PART or size > room):
            yield part
            part, room = [], PART_BYTES
        part.append(key)
        room -= size
    if part:
        yield part
