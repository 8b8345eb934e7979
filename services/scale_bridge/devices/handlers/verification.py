"""The job that announces verifications that are due soon (SCL-14).

A reminder has the same command id in every worker, so that several workers announce it once.
"""

from datetime import datetime
from typing import Final

import structlog

from libs.errors import NotFound
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.postgres.pool import acquire
from libs.process.periodic import Periodic
from services.scale_bridge.context import Context
from services.scale_bridge.devices.domain.device import DEVICE
from services.scale_bridge.devices.domain.verification import Remind, nearest, reminder_id
from services.scale_bridge.devices.read_models import device
from services.scale_bridge.devices.read_models.device import Due

log = structlog.get_logger(__name__)

BY_CALENDAR: Final = "verification"
ROUND_SECONDS: Final = 30.0
"""How often reminders are checked; they count days."""
AT_ONCE: Final = 200
"""The most reminders of one run."""


def job(context: Context) -> Periodic:
    """The job of workers that announces due reminders."""

    async def run() -> None:
        await announce_due(context, context.clock())

    return Periodic("reminders", run, max(context.settings.round_seconds, ROUND_SECONDS))


async def announce_due(context: Context, now: datetime) -> int:
    """Announce due reminders; returns their number. A failure is logged and stops no other."""
    today = now.astimezone(context.settings.zone).date()
    async with acquire(context.system) as connection:
        reminders = await device.due(connection, today, limit=AT_ONCE)
    announced = 0
    for due in reminders:
        command = Remind(device_id=due.device_id, due_on=due.due_on, today=today, now=now)
        try:
            announced += await _announce(context, due, command)
        except NotFound:
            continue
        except Exception as error:  # noqa: BLE001 -- another scale must not wait for this one
            log.warning("not reminded", device=str(due.device_id), error=repr(error))
    return announced


async def _announce(context: Context, due: Due, command: Remind) -> bool:
    """Whether the reminder was announced, now or by an earlier execution of the same command."""
    days = nearest(due.due_on, command.today)
    if days is None:
        return False
    metadata = Metadata(tenant=due.tenant, actor=BY_CALENDAR)
    done = await execute(
        context.store,
        DEVICE,
        due.device_id,
        command,
        metadata=metadata,
        command_id=reminder_id(due.device_id, due.due_on, days),
    )
    return bool(done.events)
