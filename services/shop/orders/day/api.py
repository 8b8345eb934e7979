"""Days: their figures of now, and their closing."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from contracts.shop import DayClosed
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.visible import caught_up
from libs.postgres.pool import tenant_transaction
from services.shop.context import ORDERS, Shop
from services.shop.orders.day import handlers, read_models
from services.shop.orders.day.domain import DAY

router = APIRouter(prefix="/api/days", tags=["orders"])


class Day(BaseModel):
    """The figures of a day now, and its last closing."""

    date: date
    figures: Mapping[str, int]
    closed: DayClosed | None


@router.get("/{day}", dependencies=[caught_up(read_models.NAME, of=ORDERS)])
async def read(shop: Shop, caller: Annotated[Principal, Depends(ORDERS)], day: date) -> Day:
    """What happened on a day of the shop's zone, also before it ends."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        figures, _ = await read_models.of_day(connection, caller.tenant, day)
    history = await shop.store.read(caller.tenant, DAY.stream(day))
    return Day(date=day, figures=figures, closed=DAY.state_after(history.events))


@router.post("/{day}/close")
async def close(
    shop: Shop,
    caller: Annotated[Principal, Depends(ORDERS)],
    metadata: Annotated[Metadata, metadata_of(ORDERS)],
    day: date,
) -> Day:
    """Close a day, or correct the last closing if its figures have changed. Safe to repeat."""
    await handlers.close(shop, day, metadata)
    return await read(shop, caller, day)
