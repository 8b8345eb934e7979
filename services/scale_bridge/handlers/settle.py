"""What follows from what was done with a scale.

Each step may be repeated after a crash: revisions, facts and the one end have ids of their own.
"""

from dataclasses import replace
from uuid import uuid5

from libs.errors import NotFound
from libs.security.sealing import SealBroken
from services.scale_bridge.adapters import contents
from services.scale_bridge.adapters.operation import Fetched
from services.scale_bridge.domain.copy_commands import Confirm, CopyCommand, TakeFetched
from services.scale_bridge.domain.copy_history import Copy
from services.scale_bridge.domain.operation import SENDS
from services.scale_bridge.domain.operation_commands import Apply, Begin, Kind, Outcome, Result
from services.scale_bridge.domain.wording import DEVICE_UNKNOWN, MOVED, PASSWORD_LOST
from services.scale_bridge.handlers import catalogue, device, operation, price
from services.scale_bridge.handlers.abandoned import doubt, end, failed_so
from services.scale_bridge.handlers.cases import Case, made
from services.scale_bridge.handlers.desk import Desk
from services.scale_bridge.handlers.errand import Performed
from services.scale_bridge.handlers.telling import show


async def began(desk: Desk, case: Case, holder: str) -> None:
    """An attempt begins. Raises OperationOver."""
    sends = case.errand.kind in SENDS
    revision = case.copy.revision if sends else None
    command = Begin(holder=holder, revision=revision, now=desk.clock())
    await operation.tell(desk, case.job.operation_id, command, case.cause)


async def applied(desk: Desk, case: Case, items: int) -> None:
    """The scale confirmed an import. Raises OperationOver."""
    command = Apply(
        revision=case.copy.revision,
        content=case.content or "",
        items=items,
        now=desk.clock(),
    )
    await operation.tell(desk, case.job.operation_id, command, case.cause)


async def over(desk: Desk, case: Case, performed: Performed) -> Case | None:
    """It is done: the catalogue, what the scale shows, then the end, or what is to be done next.

    Raises Unavailable, LogUnavailable.
    """
    good = performed.outcome in (Outcome.DONE, Outcome.VERIFIED)
    read_as = None
    if performed.read is not None:
        read_as = await _taken(desk, case, performed.read)
        if read_as is None:
            await end(desk, case.job, case.queued.asked_by, failed_so(MOVED))
            return None
    if good and case.is_first_half:
        return await _next(desk, case)
    if case.errand.kind is not Kind.FETCH:
        await _compared(desk, case, performed, read_as)
    result = await _result(desk, case, performed, read_as)
    await end(desk, case.job, case.queued.asked_by, result)
    return None


async def _next(desk: Desk, case: Case) -> Case | None:
    """What is left to do after the scale was read for the first time."""
    try:
        return await made(desk, case.job, case.queued)
    except NotFound:
        await end(desk, case.job, case.queued.asked_by, failed_so(DEVICE_UNKNOWN))
    except SealBroken:
        await end(desk, case.job, case.queued.asked_by, failed_so(PASSWORD_LOST))
    return None


async def _taken(desk: Desk, case: Case, read: Fetched) -> str | None:
    """Take in what a scale was read to hold: its MD5, None if it is another scale by now."""
    job = case.job
    revision = (await catalogue.load(desk, job.tenant, job.device_id)).copy.revision + 1
    md5 = await contents.put(desk.pool, job.tenant, job.device_id, revision, read.document)

    async def command(_: Copy) -> CopyCommand:
        # After the copy was looked at: whoever moves the scale changes that too.
        found = await device.load(desk, job.tenant, job.device_id)
        if (found.details.ip, found.details.port) != (case.errand.address, case.errand.port):
            raise _Moved
        return TakeFetched(
            device_id=job.device_id,
            operation_id=job.operation_id,
            content=md5,
            document=read.document,
            now=desk.clock(),
        )

    if case.errand.kind is Kind.FETCH:
        try:
            await catalogue.change(
                desk, job.device_id, command, case.cause, command_id=uuid5(job.operation_id, "read")
            )
            sends = not case.is_first_half
            await price.hold(desk, job.tenant, job.device_id, job.operation_id, sends=sends)
        except (_Moved, NotFound):
            return None
    place = f"{case.errand.address}:{case.errand.port}"
    await show(desk, job, read.document, case.cause, place=place)
    return md5


async def _compared(desk: Desk, case: Case, performed: Performed, read_as: str | None) -> None:
    """Whether the scale holds what it shall, as far as is known now (R8)."""
    good = performed.outcome in (Outcome.DONE, Outcome.VERIFIED)
    if good and case.content is not None:
        command = Confirm(
            device_id=case.job.device_id,
            operation_id=case.job.operation_id,
            revision=case.copy.revision,
            content=case.content,
            now=desk.clock(),
        )
        await catalogue.change(desk, case.job.device_id, command, case.cause)
    elif performed.doubtful or (read_as is not None and not good):
        await doubt(desk, case.job, case.cause, read_as)


async def _result(desk: Desk, case: Case, performed: Performed, read_as: str | None) -> Result:
    told = Result(
        outcome=performed.outcome,
        code=performed.code,
        detail=performed.detail,
        result=performed.result,
        items=performed.items,
    )
    if case.errand.kind is Kind.FETCH and read_as is not None:
        now = await catalogue.load(desk, case.job.tenant, case.job.device_id)
        # What the shop's prices made of it came after.
        revision = now.copy.confirmed or now.copy.revision
        return replace(told, revision=revision, content=read_as)
    if case.errand.wanted is not None:
        return replace(told, revision=case.copy.revision, content=case.content)
    return told


class _Moved(Exception):
    """The device is elsewhere by now."""
