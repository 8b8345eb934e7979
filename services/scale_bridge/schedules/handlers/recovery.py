"""Automatic recovery: scales are probed, read or sent what they shall show.

The ids of the operations follow from the state, so that several workers order each of them once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import structlog

from contracts.scale_bridge import OperationId
from libs.errors import NotFound
from libs.postgres.pool import acquire
from services.scale_bridge.context import Context
from services.scale_bridge.driver.adapters import names
from services.scale_bridge.driver.domain.address import BadAddress
from services.scale_bridge.driver.domain.fault import Unreachable
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.requests import OperationRequest
from services.scale_bridge.schedules.domain.recovery import Rules, next_action, next_change
from services.scale_bridge.schedules.read_models import health
from services.scale_bridge.schedules.read_models.health import Patient
from services.scale_bridge.transfer.domain.kinds import Kind

log = structlog.get_logger(__name__)

BY_HEALING: Final = "heal"
AT_ONCE: Final = 4
"""How many scales one look takes care of: a shop whose power is back is not stormed."""


async def recover(context: Context, rules: Rules, now: datetime) -> int:
    """Order what scales need now; how many got something. One that fails stops no other."""
    return await _treat(context, await _patients(context, now), rules, now)


async def run_once(context: Context, rules: Rules, now: datetime) -> float | None:
    """The same; in how many seconds something may be to be ordered, None if only after events."""
    patients = await _patients(context, now)
    await _treat(context, patients, rules, now)
    if any(next_action(patient.health, now, rules) for patient in patients):
        # Not all were treated, or one whose circuit is open.
        return 0.0
    moments = [next_change(patient.health, now, rules) for patient in patients]
    first = min((moment for moment in moments if moment is not None), default=None)
    return None if first is None else (first - now).total_seconds()


async def _patients(context: Context, now: datetime) -> Sequence[Patient]:
    async with acquire(context.pool) as connection:
        return await health.quiet(connection, now)


async def _treat(context: Context, patients: Sequence[Patient], rules: Rules, now: datetime) -> int:
    ordered = 0
    for patient in patients:
        kind = next_action(patient.health, now, rules)
        if kind is None:
            continue
        try:
            if await _is_reachable(context, patient):
                await operation.enqueue(context, _ordered(patient, kind))
                ordered += 1
        except NotFound:
            continue
        except Exception as error:  # noqa: BLE001 -- another scale must not wait for this one
            log.warning("not healed", device=str(patient.device_id), error=repr(error))
        if ordered >= AT_ONCE:
            break
    return ordered


async def _is_reachable(context: Context, patient: Patient) -> bool:
    """Whether its circuit breaker lets anybody through (R6)."""
    try:
        endpoint = await names.resolve(patient.ip, patient.port, context.policy)
    except (BadAddress, Unreachable):
        return False
    return not await context.breakers.remaining(endpoint)


def _ordered(patient: Patient, kind: Kind) -> OperationRequest:
    ended_at = patient.health.ended_at
    after = ended_at.isoformat() if ended_at else "nothing"
    return OperationRequest(
        tenant=patient.tenant,
        device_id=patient.device_id,
        operation_id=OperationId(_of(patient.device_id, f"{kind} after {after}")),
        kind=kind,
        asked_by=BY_HEALING,
    )


def _of(device_id: UUID, what: str) -> UUID:
    return uuid5(device_id, f"{BY_HEALING} {what}")
