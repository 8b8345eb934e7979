"""What happens when an article costs something else: every scale that sells it is to show it.

Safe to repeat: what is edited has a command id that follows from the price and the scale, so that a
price told twice does not undo what somebody edited in between.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid5

import structlog

from contracts.scale_bridge import DeviceId, OperationId
from contracts.shop import PriceChanged
from libs.errors import NotFound
from libs.eventsourcing.log import Cause
from libs.postgres.pool import acquired
from services.scale_bridge.domain.copy_commands import Edit
from services.scale_bridge.domain.operation import OperationUnknown, Stage
from services.scale_bridge.domain.operation_commands import Kind
from services.scale_bridge.domain.price import major
from services.scale_bridge.handlers import catalogue, operation
from services.scale_bridge.handlers.desk import Desk
from services.scale_bridge.handlers.ordering import Ordered
from services.scale_bridge.read_models import drift
from services.scale_bridge.read_models.drift import Place

log = structlog.get_logger(__name__)

BY_PRICE: Final = "price"
GATHER: Final = timedelta(seconds=1)
"""Prices seldom come alone: one upload takes all that came within this time."""
AT_ONCE: Final = 8


async def change_price(
    desk: Desk, change: PriceChanged, *, tenant: str, currency: str
) -> list[DeviceId]:
    """Edit the article on every scale of the tenant that has it, and order uploads; which scales.

    A price in another currency than the scales' changes nothing. Raises BadFields for a price below
    zero, Unavailable, LogUnavailable.
    """
    if change.currency != currency:
        log.warning("price in another currency", price=str(change.price_id))
        return []
    async with acquired(desk.pool) as connection:
        places = await drift.holding(connection, tenant, change.article)
    turns = asyncio.Semaphore(AT_ONCE)

    async def at(place: Place) -> DeviceId | None:
        async with turns:
            return place.device_id if await _edit(desk, change, place, tenant) else None

    edited = await asyncio.gather(*(at(place) for place in places))
    devices = sorted({device_id for device_id in edited if device_id is not None})
    for device_id in devices:
        await _order(desk, tenant, device_id)
    return devices


async def _edit(desk: Desk, change: PriceChanged, place: Place, tenant: str) -> bool:
    command = Edit(
        device_id=place.device_id,
        plu=place.plu,
        fields={"price": major(change.amount, change.currency)},
        source=BY_PRICE,
        edited_by=change.changed_by,
        now=desk.clock(),
    )
    cause = Cause(tenant=tenant, actor=change.changed_by, causation_id=str(change.price_id))
    command_id = uuid5(change.price_id, f"{place.device_id} {place.plu}")
    try:
        await catalogue.change(desk, place.device_id, command, cause, command_id=command_id)
    except NotFound:
        # It was there a moment ago: whoever took it away decided so.
        return False
    return True


async def _order(desk: Desk, tenant: str, device_id: DeviceId) -> None:
    """Order an upload that begins after now, the same one for all who ask within `GATHER`."""
    now = desk.clock()
    number = int(now.timestamp() / GATHER.total_seconds()) + 1
    for beat in (number, number + 1):
        begins = datetime.fromtimestamp(beat * GATHER.total_seconds(), now.tzinfo)
        ordered = Ordered(
            tenant=tenant,
            device_id=device_id,
            operation_id=OperationId(uuid5(device_id, f"prices {beat}")),
            kind=Kind.UPLOAD,
            asked_by=BY_PRICE,
        )
        try:
            await operation.order(desk, ordered, after_seconds=(begins - now).total_seconds())
            found = await operation.load(desk, tenant, ordered.operation_id)
        except (NotFound, OperationUnknown):
            return
        if found.stage is Stage.QUEUED:
            return
