"""Executing a task on a device: the lease, the circuit breaker, the attempts and the outcome.

The service and the agent on a shop's network execute tasks by this code.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, assert_never

import structlog

from libs.errors import Unavailable
from services.scale_bridge.catalogue.domain.readback import shows
from services.scale_bridge.driver.adapters import names, operation
from services.scale_bridge.driver.adapters.driver import GRACE_SECONDS
from services.scale_bridge.driver.domain.address import BadAddress, Endpoint
from services.scale_bridge.driver.domain.fault import ScaleFault, Unreachable
from services.scale_bridge.transfer.domain.breaker import Wait
from services.scale_bridge.transfer.domain.failure_texts import (
    BAD_ADDRESS,
    BUSY,
    CIRCUIT_OPEN,
    INTERRUPTED,
    NOT_SHOWN,
    sentence,
)
from services.scale_bridge.transfer.domain.kinds import Kind, Outcome, broken_off
from services.scale_bridge.transfer.handlers.attempts import Attempts
from services.scale_bridge.transfer.handlers.device_task import (
    DeviceLeases,
    DeviceTask,
    ExecutionContext,
    Performed,
    ProgressListener,
    failed,
    failed_by,
)
from services.scale_bridge.transfer.handlers.upload import upload


async def perform(
    execution: ExecutionContext, device_task: DeviceTask, listener: ProgressListener
) -> Performed:
    """Execute a task within its deadline (R2). Raises what `listener` raises, and Unavailable.

    When cancelled, the connection is closed; the scale may have imported an upload or not.
    """
    try:
        endpoint = await names.resolve(device_task.address, device_task.port, execution.policy)
    except BadAddress:
        return failed(BAD_ADDRESS)
    except Unreachable as fault:
        return failed_by(fault)
    if await execution.breakers.remaining(endpoint):
        # Checked before the wait for the lease: its holder may itself wait for a dead scale.
        return failed(CIRCUIT_OPEN)
    now = asyncio.get_running_loop().time
    until = now() + device_task.seconds
    holder = f"{execution.holder} {device_task.operation_id}"
    wait = min(execution.wait_seconds, device_task.seconds)
    try:
        async with hold_lease(execution.leases, endpoint, holder, wait_seconds=wait):
            return await _with_lease(execution, device_task, listener, endpoint, until)
    except LeaseBusy:
        return failed(BUSY)
    except LeaseLost:
        outcome = broken_off(device_task.kind)
        return Performed(
            outcome=outcome,
            code=INTERRUPTED,
            detail=sentence(INTERRUPTED, outcome),
            doubtful=outcome is Outcome.UNKNOWN,
        )


async def _with_lease(
    execution: ExecutionContext,
    device_task: DeviceTask,
    listener: ProgressListener,
    endpoint: Endpoint,
    until: float,
) -> Performed:
    verdict = await execution.breakers.allow(endpoint)
    if isinstance(verdict, Wait):
        return failed(CIRCUIT_OPEN)
    attempts = Attempts(
        execution=execution,
        device_task=device_task,
        endpoint=endpoint,
        listener=listener,
        until=until,
        is_trial=verdict.trial,
    )
    try:
        performed = await _execute(attempts)
    except ScaleFault as fault:
        performed = failed_by(fault)
        attempts.last = fault
    await execution.breakers.record(endpoint, attempts.last)
    return performed


async def _execute(attempts: Attempts) -> Performed:
    match attempts.device_task.kind:
        case Kind.FETCH:
            read = await attempts.read()
            return Performed(outcome=Outcome.DONE, read=read, items=read.items)
        case Kind.VERIFY:
            return await _verify(attempts)
        case Kind.PROBE:
            info = await attempts.run("probe", operation.probe, operation.PROBE_SECONDS)
            detail = ", ".join(part for part in (info.model, info.serial, info.version) if part)
            return Performed(outcome=Outcome.DONE, detail=detail)
        case Kind.UPLOAD | Kind.REFRESH:
            return await upload(attempts)
        case other:
            assert_never(other)


async def _verify(attempts: Attempts) -> Performed:
    desired = attempts.device_task.desired
    read = await attempts.read()
    if desired is None:
        return Performed(outcome=Outcome.DONE, read=read, items=read.items)
    if not shows(desired, read.document):
        return Performed(
            outcome=Outcome.FAILED,
            code=NOT_SHOWN,
            detail="Весы показывают не то, что сохранено.",
            read=read,
            items=read.items,
        )
    return Performed(outcome=Outcome.VERIFIED, read=read, items=read.items)


log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.1


class LeaseBusy(Exception):
    """The lease on the device was not free in time."""


class LeaseLost(Exception):
    """The lease expired during the task; the connection to the scale is closed."""


@asynccontextmanager
async def hold_lease(
    leases: DeviceLeases, endpoint: Endpoint, holder: str, *, wait_seconds: float
) -> AsyncIterator[None]:
    """Hold the lease for the block, which is cancelled before another holder can take the lease.

    Raises LeaseBusy after `wait_seconds`, LeaseLost, Unavailable.
    """
    await _take(leases, endpoint, holder, wait_seconds)
    lost = False

    def lose() -> None:
        nonlocal lost
        lost = True
        if block is not None:
            block.cancel()

    block = asyncio.current_task()
    renewing = asyncio.create_task(_renew(leases, endpoint, holder))
    renewing.add_done_callback(lambda done: None if done.cancelled() else lose())
    try:
        yield
    except asyncio.CancelledError:
        if lost and block is not None and block.uncancel() == 0:
            raise LeaseLost from None
        raise
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        try:
            await leases.release(endpoint, holder)
        except Unavailable:
            # It expires.
            log.info("lease not given back")


async def _take(leases: DeviceLeases, endpoint: Endpoint, holder: str, wait_seconds: float) -> None:
    now = asyncio.get_running_loop().time
    until = now() + wait_seconds
    while not await leases.take(endpoint, holder):
        if now() >= until:
            raise LeaseBusy
        await asyncio.sleep(POLL_SECONDS)


async def _renew(leases: DeviceLeases, endpoint: Endpoint, holder: str) -> None:
    """Renew until cancelled; returns when the lease is lost, or about to expire."""
    now = asyncio.get_running_loop().time
    good_until = now() + leases.seconds
    while now() < good_until - GRACE_SECONDS - 1.0:
        await asyncio.sleep(leases.seconds / 4)
        renewed_at = now()
        try:
            async with asyncio.timeout(leases.seconds / 4):
                renewed = await leases.renew(endpoint, holder)
        except (Unavailable, TimeoutError):
            continue
        if not renewed:
            return
        good_until = renewed_at + leases.seconds
