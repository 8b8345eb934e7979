"""What the daemon does with a scale: the same as the service itself would do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from contracts.scale_bridge import DeviceId, OperationId
from libs.security.sealed_box import open_sealed
from libs.security.sealing import SealBroken
from services.scale_bridge.bridges.adapters.wire import read_catalogue
from services.scale_bridge.bridges.domain import Report, Stage, Work, context_of
from services.scale_bridge.bridges.handlers.runner import CarryOut, Teller
from services.scale_bridge.bridges.stores.rows import Task
from services.scale_bridge.driver.domain.document import Document, digest, written
from services.scale_bridge.transfer.adapters.progress_driver import HeardDriver
from services.scale_bridge.transfer.domain.commands import SENDS, Kind, Outcome
from services.scale_bridge.transfer.domain.wording import PASSWORD_LOST, with_doubt
from services.scale_bridge.transfer.handlers.device_task import Errand, Gear, Performed, failed
from services.scale_bridge.transfer.handlers.perform import perform


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What it takes: `private_key` opens passwords, `now` is wall time."""

    gear: Gear
    private_key: Callable[[], bytes] = field(repr=False)
    now: Callable[[], float]


def carrying_out(bench: Bench) -> CarryOut:
    """How tasks are done with these."""

    async def carry_out(task: Task, teller: Teller) -> None:
        progress = _Progress(teller)
        performed = await _performed(bench, task, teller, progress)
        if task.begun:
            performed = _doubted(performed, task.work)
        await _tell(performed, teller, progress.attempt)

    return carry_out


async def _performed(bench: Bench, task: Task, teller: Teller, progress: "_Progress") -> Performed:
    try:
        errand = await _errand(bench, task, teller)
    except SealBroken:
        return failed(PASSWORD_LOST)
    driver = HeardDriver(bench.gear.driver, teller.progress)
    return await perform(replace(bench.gear, driver=driver), errand, progress)


async def _errand(bench: Bench, task: Task, teller: Teller) -> Errand:
    """Raises SealBroken."""
    work = task.work
    key = await asyncio.to_thread(bench.private_key)
    return Errand(
        operation_id=OperationId(work.operation_id),
        device_id=DeviceId(work.device_id),
        kind=Kind(work.kind),
        address=work.address,
        port=work.port,
        password=open_sealed(key, work.password, context_of(work.operation_id, work.device_id)),
        # However this machine's clock was set since, there is no more time than was given.
        seconds=min(task.until - bench.now(), work.seconds_left),
        full=work.full,
        wanted=await _catalogue(teller, work.catalogue),
        known=await _catalogue(teller, work.known),
        diagnose=work.diagnose,
        strictness=work.strictness,
    )


async def _catalogue(teller: Teller, md5: str | None) -> Document | None:
    packed = None if md5 is None else await teller.desk.store.content(md5)
    return None if packed is None else await asyncio.to_thread(read_catalogue, packed)


def _doubted(performed: Performed, work: Work) -> Performed:
    """It was done again, for it was interrupted: what failed now may have succeeded before."""
    if performed.outcome is not Outcome.FAILED or work.kind not in SENDS or performed.read:
        return performed
    return replace(
        performed,
        outcome=Outcome.UNKNOWN,
        detail=with_doubt(performed.detail),
        doubtful=True,
    )


async def _tell(performed: Performed, teller: Teller, attempt: int) -> None:
    read, content = performed.read, None
    if read is not None:
        await teller.completed()
        content = await asyncio.to_thread(written, read.document)
    report = Report(
        stage=Stage.ENDED,
        attempt=attempt,
        outcome=performed.outcome,
        code=performed.code,
        detail=performed.detail,
        result=performed.result,
        items=performed.items,
        doubtful=performed.doubtful,
        content=None if content is None else digest(content),
        catalogue=teller.task.work.catalogue,
    )
    await teller.ended(report, content)


class _Progress:
    """What the service hears before the end."""

    def __init__(self, teller: Teller) -> None:
        self.attempt = 0
        self._teller = teller

    async def begun(self, attempt: int) -> None:
        self.attempt = attempt
        await self._teller.told(Report(stage=Stage.BEGAN, attempt=attempt))

    async def applied(self, items: int) -> None:
        await self._teller.completed()
        await self._teller.told(Report(stage=Stage.APPLIED, attempt=self.attempt, items=items))
