"""Applies the result of an operation: read-back facts, catalogue, completion, follow-up task.

Each step is safe to repeat after a crash: revisions, facts and the end have ids of their own.
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
from services.scale_bridge.operations.domain import BY_RECOVERY, Apply, Begin, Result
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.expiry import failure, mark_unverified, record_end
from services.scale_bridge.operations.handlers.job_context import JobContext, build
from services.scale_bridge.operations.handlers.operation import OperationRequest
from services.scale_bridge.operations.stores import last_readback
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.transfer.domain.failure_texts import EDITED_MEANWHILE, MOVED, NOT_SHOWN
from services.scale_bridge.transfer.domain.kinds import SUCCEEDED, Kind, Outcome
from services.scale_bridge.transfer.handlers.device_task import Performed


async def on_started(context: Context, loaded: JobContext, holder: str) -> None:
    """Record that an attempt begins. Raises OperationOver."""
    sends = loaded.device_task.kind.spec.sends
    revision = loaded.catalogue.revision if sends else None
    command = Begin(holder=holder, revision=revision, now=context.clock())
    await operation.advance(context, loaded.job.operation_id, command, loaded.metadata)


async def on_applied(context: Context, loaded: JobContext, items: int) -> None:
    """Record that the scale confirmed an import of so many items. Raises OperationOver."""
    command = Apply(
        revision=loaded.catalogue.revision,
        content=loaded.content or "",
        items=items,
        now=context.clock(),
    )
    await operation.advance(context, loaded.job.operation_id, command, loaded.metadata)


async def on_finished(
    context: Context, loaded: JobContext, performed: Performed
) -> JobContext | None:
    """Apply the result of a task; the context of the follow-up task, None if the operation ended.

    Raises Unavailable, LogUnavailable.
    """
    read_md5 = None
    if performed.read is not None:
        try:
            read_md5 = await _record_read(context, loaded, performed.read)
        except _NotAdopted as error:
            await record_end(context, loaded.job, loaded.queued.asked_by, failure(error.code))
            return None
        loaded, performed = await _compared_again(context, loaded, performed, performed.read)
    if performed.outcome in SUCCEEDED and loaded.is_first_half:
        return await build(context, loaded.job, loaded.queued)
    if not loaded.device_task.kind.spec.adopts:
        await _confirm_or_doubt(context, loaded, performed, read_md5)
    result = await _result(context, loaded, performed, read_md5)
    await record_end(context, loaded.job, loaded.queued.asked_by, result)
    return None


async def _record_read(context: Context, loaded: JobContext, read: Fetched) -> str:
    """Store what a scale was read to hold, and adopt it if the task is a fetch; its MD5.

    Raises _NotAdopted: the stored catalogue is then unchanged.
    """
    job = loaded.job
    revision = (await catalogue.load(context, job.tenant, job.device_id)).catalogue.revision + 1
    md5 = await document_store.put(
        context.system, job.tenant, job.device_id, revision, read.document
    )
    # The read-back first: it is true even if the catalogue cannot be adopted.
    address = f"{loaded.device_task.address}:{loaded.device_task.port}"
    await record_readback(context, job, read.document, loaded.metadata, address=address)
    if loaded.device_task.kind.spec.adopts:
        await _adopt(context, loaded, read, md5)
    return md5


async def _adopt(context: Context, loaded: JobContext, read: Fetched, md5: str) -> None:
    """Replace the stored catalogue; changes made since the fetch was queued are made again on it.

    Raises _NotAdopted.
    """
    job, task, since = loaded.job, loaded.device_task, loaded.queued.catalogue_revision

    async def command(_: Catalogue) -> CatalogueCommand:
        # After the catalogue was loaded: a change of the address invalidates it too.
        details = (await device.load(context, job.tenant, job.device_id)).details
        if (details.ip, details.port) != (task.address, task.port):
            raise _NotAdopted(MOVED)
        return TakeFetched(
            device_id=job.device_id,
            operation_id=job.operation_id,
            content=md5,
            document=read.document,
            now=context.clock(),
            changes=await catalogue.changes_after(context, job.tenant, job.device_id, since),
        )

    command_id = uuid5(job.operation_id, "read")
    try:
        await catalogue.change(
            context, job.device_id, command, loaded.metadata, command_id=command_id
        )
        sends = not loaded.is_first_half
        await context.hooks.after_fetch(context, job, since=since, sends=sends)
    except EditedMeanwhile:
        await mark_unverified(context, job, loaded.metadata, md5)
        raise _NotAdopted(EDITED_MEANWHILE) from None
    except NotFound:
        raise _NotAdopted(MOVED) from None


async def _confirm_or_doubt(
    context: Context, loaded: JobContext, performed: Performed, read_md5: str | None
) -> None:
    """Record whether the scale holds the revision of the task, as far as is known (R8)."""
    if performed.outcome in SUCCEEDED and loaded.content is not None:
        overtaken = await _is_overtaken(context, loaded)
        command = Confirm(
            device_id=loaded.job.device_id,
            operation_id=loaded.job.operation_id,
            revision=loaded.catalogue.revision,
            content=loaded.content,
            now=context.clock(),
        )
        await catalogue.change(context, loaded.job.device_id, command, loaded.metadata)
        if overtaken:
            # The device may have been removed.
            with suppress(NotFound):
                await operation.enqueue(context, _upload_after(loaded))
    elif performed.doubtful or (read_md5 is not None and performed.outcome not in SUCCEEDED):
        await mark_unverified(context, loaded.job, loaded.metadata, read_md5)


async def _compared_again(
    context: Context, loaded: JobContext, performed: Performed, read: Fetched
) -> tuple[JobContext, Performed]:
    """Repeat a failed verification against the catalogue as it is now.

    The catalogue may have changed, or have been sent, since the task was built. The scale is right
    if it shows the present revision or the one it confirmed last.
    """
    spec = loaded.device_task.kind.spec
    if not spec.compares or spec.sends or performed.code != NOT_SHOWN:
        return loaded, performed
    job = loaded.job
    copy = (await catalogue.load(context, job.tenant, job.device_id)).catalogue
    document, on_scale = copy.document, copy.on_scale
    if not copy.valid or document is None or copy.revision == loaded.catalogue.revision:
        return loaded, performed
    verified = Performed(outcome=Outcome.VERIFIED, read=read, items=read.items)
    if shows(document, read.document):
        content = await document_store.put(
            context.system, job.tenant, job.device_id, copy.revision, document
        )
        return replace(loaded, catalogue=copy, content=content), verified
    if not copy.confirmed or on_scale is None:
        return loaded, performed
    sent = (await document_store.get(context.system, job.tenant, [on_scale])).get(on_scale)
    if sent is not None and shows(sent, read.document):
        held = replace(copy, revision=copy.confirmed)
        return replace(loaded, catalogue=held, content=on_scale), verified
    return loaded, performed


async def _is_overtaken(context: Context, loaded: JobContext) -> bool:
    """Whether a later revision was sent to the scale before the one of this task."""
    if not loaded.device_task.kind.spec.sends:
        return False
    tenant, device_id = loaded.job.tenant, loaded.job.device_id
    revision = loaded.catalogue.revision
    copy = (await catalogue.load(context, tenant, device_id)).catalogue
    if not copy.valid or copy.confirmed <= revision:
        return False
    changes = await catalogue.changes_after(context, tenant, device_id, revision)
    # A fetch in between confirms a revision that was read, not sent.
    return not any(isinstance(change, CatalogueFetched) for change in changes)


def _upload_after(loaded: JobContext) -> OperationRequest:
    """An upload of the present catalogue, after an upload that was overtaken."""
    return OperationRequest(
        tenant=loaded.job.tenant,
        device_id=loaded.job.device_id,
        operation_id=OperationId(uuid5(loaded.job.operation_id, "once more")),
        kind=Kind.UPLOAD,
        asked_by=BY_RECOVERY,
        causation_id=str(loaded.job.operation_id),
    )


async def _result(
    context: Context, loaded: JobContext, performed: Performed, read_md5: str | None
) -> Result:
    result = Result(
        outcome=performed.outcome,
        code=performed.code,
        detail=performed.detail,
        result=performed.result,
        items=performed.items,
    )
    if loaded.device_task.kind.spec.adopts and read_md5 is not None:
        now = await catalogue.load(context, loaded.job.tenant, loaded.job.device_id)
        # Not the present revision: prices and repeated edits come after what was read.
        held = now.catalogue.confirmed if now.catalogue.on_scale == read_md5 else 0
        return replace(result, revision=held or None, content=read_md5)
    if loaded.device_task.desired is not None:
        return replace(result, revision=loaded.catalogue.revision, content=loaded.content)
    return result


class _NotAdopted(Exception):
    """What was read cannot become the stored catalogue; `code` is the code of the operation."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


MOST_PRODUCTS: Final = 500
MOST_BYTES: Final = 200_000
"""How many products one fact names at most, and how many bytes of them: the log limits events."""

_encode = msgspec.json.Encoder().encode


async def record_readback(
    context: Context, job: Job, read: Document, metadata: Metadata, *, address: str
) -> None:
    """Append facts of what the scale, read just now, shows otherwise than at its last read-back.

    `address` is the `ip:port` that was read. If the device has another address by now, nothing is
    appended; after a change of address, everything is. Safe to repeat. Raises Unavailable,
    LogUnavailable.
    """
    try:
        details = (await device.load(context, job.tenant, job.device_id)).details
    except NotFound:
        return
    if address != f"{details.ip}:{details.port}":
        return
    before = await last_readback.get(context.system, job.tenant, job.device_id, address)
    now = displayed_by_plu(read)
    news = {key: fields for key, fields in now.items() if before.get(key) != fields}
    gone = [key for key in before if key not in now]
    if facts := _facts(job, news, gone, context.clock()):
        await context.store.record(facts, metadata=metadata)
    await last_readback.save(
        context.system, job.tenant, job.device_id, job.operation_id, address, now
    )


def _facts(
    job: Job, news: Mapping[str, Mapping[str, Any]], gone: Sequence[str], now: datetime
) -> list[Fact[ScaleBridgeEvent]]:
    keys = [*news, *gone]
    return [
        Fact(
            # The moment is part of the id: a read-back that is recorded again after a crash is
            # another fact, with the same products.
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
    """The keys in their order, in parts that fit into one fact; a single product always fits."""
    part, room = list[str](), MOST_BYTES
    for key in keys:
        size = len(_encode((key, news.get(key))))
        if part and (len(part) >= MOST_PRODUCTS or size > room):
            yield part
            part, room = [], MOST_BYTES
        part.append(key)
        room -= size
    if part:
        yield part
