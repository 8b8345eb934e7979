"""Automatic recovery: queues probes, reads and uploads for scales that need them.

The id of an operation follows from the state of its scale: several workers queue it once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import uuid5

import structlog

from contracts.scale_bridge import OperationId
from libs.errors import NotFound
from libs.postgres.doorbell import PROJECTED
from libs.postgres.pool import acquire
from libs.process.periodic import Periodic
from services.scale_bridge.context import Context
from services.scale_bridge.driver.adapters import names
from services.scale_bridge.driver.domain.address import BadAddress
from services.scale_bridge.driver.domain.fault import Unreachable
from services.scale_bridge.operations.domain import BY_RECOVERY
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.operation import OperationRequest
from services.scale_bridge.schedules.domain.recovery import RecoveryRules, next_action, next_change
from services.scale_bridge.schedules.read_models import health
from services.scale_bridge.schedules.read_models.health import IdleDevice
from services.scale_bridge.transfer.domain.kinds import Kind
from services.scale_bridge.transfer.stores.breakers import Breakers

log = structlog.get_logger(__name__)

RESTING_SECONDS: Final = 5.0
"""How often the health of scales is read while no event is projected."""
AT_ONCE: Final = 4
"""How many operations one call queues: after a power failure not all scales are read at once."""


def job(context: Context) -> Periodic | None:
    """The job of workers; None if scales are not corrected automatically."""
    settings = context.settings
    if not settings.healing:
        return None

    async def run() -> float | None:
        _, seconds = await recover(context, settings.recovery_rules, context.clock())
        return seconds

    return Periodic("healing", run, settings.round_seconds, PROJECTED, RESTING_SECONDS)


async def recover(
    context: Context, rules: RecoveryRules, now: datetime
) -> tuple[int, float | None]:
    """Queue the operations that scales need now; returns how many.

    The second value is in how many seconds the next call is useful, None if only an event makes it
    so. A failure does not stop the others.
    """
    async with acquire(context.system) as connection:
        devices = await health.idle_devices(connection, now)
    queued = await _recover(context, devices, rules, now)
    if any(next_action(device.health, now, rules) for device in devices):
        # More than `AT_ONCE` need an operation, or a circuit breaker is open.
        return queued, 0.0
    moments = [next_change(device.health, now, rules) for device in devices]
    first = min((moment for moment in moments if moment is not None), default=None)
    return queued, None if first is None else (first - now).total_seconds()


async def _recover(
    context: Context, devices: Sequence[IdleDevice], rules: RecoveryRules, now: datetime
) -> int:
    queued = 0
    for device in devices:
        kind = next_action(device.health, now, rules)
        if kind is None:
            continue
        try:
            if await _is_reachable(context, device):
                await operation.enqueue(context, _request(device, kind))
                queued += 1
        except NotFound:
            continue
        except Exception as error:  # noqa: BLE001 -- another scale must not wait for this one
            log.warning("not recovered", device=str(device.device_id), error=repr(error))
        if queued >= AT_ONCE:
            break
    return queued


async def _is_reachable(context: Context, device: IdleDevice) -> bool:
    """Whether the address is allowed and its circuit breaker is closed (R6)."""
    try:
        endpoint = await names.resolve(device.ip, device.port, context.settings.policy)
    except (BadAddress, Unreachable):
        return False
    return not await Breakers.of(context).remaining(endpoint)


def _request(device: IdleDevice, kind: Kind) -> OperationRequest:
    ended_at = device.health.ended_at
    cause = f"{kind} after {ended_at.isoformat() if ended_at else 'nothing'}"
    return OperationRequest(
        tenant=device.tenant,
        device_id=device.device_id,
        operation_id=OperationId(uuid5(device.device_id, f"{BY_RECOVERY} {cause}")),
        kind=kind,
        asked_by=BY_RECOVERY,
    )
