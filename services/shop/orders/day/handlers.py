"""Closing a day, which may be repeated at any time."""

from datetime import date

from libs.errors import Unavailable
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.postgres.pool import tenant_transaction
from services.shop.context import ApiContext, authorship
from services.shop.orders.day import read_models
from services.shop.orders.day.domain import DAY, CloseDay


async def close(context: ApiContext, day: date, metadata: Metadata) -> None:
    """Close a day with all that the log holds of it now; if it is closed, correct it.

    Safe to repeat: the same figures are closed once. Raises DayToCome, and Unavailable while the
    read model is behind.
    """
    tenant = metadata.tenant
    if not await context.consistency.caught_up(read_models.NAME, tenant):
        raise Unavailable(read_models.NAME)
    async with tenant_transaction(context.reading, tenant) as connection:
        figures, position = await read_models.of_day(connection, tenant, day)
    command = CloseDay(
        day=day,
        today=context.clock().astimezone(context.settings.zone).date(),
        figures=figures,
        position=position,
        **authorship(context, metadata),
    )
    await execute(context.store, DAY, day, command, metadata=metadata)
