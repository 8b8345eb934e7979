"""Doing an operation with a scale: its turn, its breaker, its attempts, and what came of it.

The same for the service itself and for a daemon on a shop's network.
"""

import asyncio

from services.scale_bridge.catalogue.domain.readback import shows
from services.scale_bridge.driver.adapters import names
from services.scale_bridge.driver.domain.address import BadAddress, Endpoint
from services.scale_bridge.driver.domain.fault import ScaleFault, Unreachable
from services.scale_bridge.transfer.domain.breaker import Wait
from services.scale_bridge.transfer.domain.commands import SENDS, Kind, Outcome
from services.scale_bridge.transfer.domain.wording import (
    BAD_ADDRESS,
    BUSY,
    CIRCUIT_OPEN,
    INTERRUPTED,
    NOT_SHOWN,
    sentence,
)
from services.scale_bridge.transfer.handlers.attempts import Attempts
from services.scale_bridge.transfer.handlers.device_lease import NoTurn, TurnLost, having
from services.scale_bridge.transfer.handlers.device_task import (
    Errand,
    Gear,
    Performed,
    Told,
    failed,
    failed_by,
)
from services.scale_bridge.transfer.handlers.upload import send


async def perform(gear: Gear, errand: Errand, told: Told) -> Performed:
    """Do it, within its deadline (R2). Raises only what `told` raises, and Unavailable.

    When cancelled, the connection is closed, and nobody knows what the scale took in.
    """
    try:
        endpoint = await names.find(errand.address, errand.port, gear.policy)
    except BadAddress:
        return failed(BAD_ADDRESS)
    except Unreachable as fault:
        return failed_by(fault)
    if await gear.circuits.look(endpoint):
        # Before waiting for a turn: whoever has it may be waiting for the dead.
        return failed(CIRCUIT_OPEN)
    now = asyncio.get_running_loop().time
    until = now() + errand.seconds
    holder = f"{gear.holder} {errand.operation_id}"
    wait = min(gear.wait_seconds, errand.seconds)
    try:
        async with having(gear.turns, endpoint, holder, wait_seconds=wait):
            return await _in_turn(gear, errand, told, endpoint, until)
    except NoTurn:
        return failed(BUSY)
    except TurnLost:
        sends = errand.kind in SENDS
        outcome = Outcome.UNKNOWN if sends else Outcome.FAILED
        return Performed(
            outcome=outcome,
            code=INTERRUPTED,
            detail=sentence(INTERRUPTED, outcome),
            doubtful=sends,
        )


async def _in_turn(
    gear: Gear, errand: Errand, told: Told, endpoint: Endpoint, until: float
) -> Performed:
    verdict = await gear.circuits.ask(endpoint)
    if isinstance(verdict, Wait):
        return failed(CIRCUIT_OPEN)
    attempts = Attempts(
        gear=gear,
        errand=errand,
        endpoint=endpoint,
        told=told,
        until=until,
        is_probe=verdict.probe,
    )
    try:
        performed = await _ordered(attempts)
    except ScaleFault as fault:
        performed = failed_by(fault)
        attempts.last = fault
    await gear.circuits.tell(endpoint, attempts.last)
    return performed


async def _ordered(attempts: Attempts) -> Performed:
    match attempts.errand.kind:
        case Kind.FETCH:
            read = await attempts.read()
            return Performed(outcome=Outcome.DONE, read=read, items=read.items)
        case Kind.VERIFY:
            return await _verified(attempts)
        case Kind.PROBE:
            info = await attempts.probe()
            said = ", ".join(part for part in (info.model, info.serial, info.version) if part)
            return Performed(outcome=Outcome.DONE, detail=said)
        case Kind.UPLOAD | Kind.REFRESH:
            return await send(attempts)


async def _verified(attempts: Attempts) -> Performed:
    wanted = attempts.errand.wanted
    read = await attempts.read()
    if wanted is None:
        return Performed(outcome=Outcome.DONE, read=read, items=read.items)
    if not shows(wanted, read.document):
        return Performed(
            outcome=Outcome.FAILED,
            code=NOT_SHOWN,
            detail="Весы показывают не то, что сохранено.",
            read=read,
            items=read.items,
        )
    return Performed(outcome=Outcome.VERIFIED, read=read, items=read.items)
