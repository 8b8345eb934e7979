"""The boxes of a day: their items and whether they are open (§2.7)."""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Response

from libs.http.paging import Offset
from libs.postgres.query import Row
from services.ingest.context import Ingest
from services.ingest.dashboard.api.as_of import reading_as_of
from services.ingest.dashboard.read_models import box
from services.ingest.dashboard.read_models.as_of import items_of_boxes
from services.ingest.dashboard.read_models.box import BoxOnDay, Total
from services.ingest.scans.api.query_params import HistoricalQuery, fresh
from services.ingest.scans.api.responses import Filters, json_response
from services.ingest.scans.domain.box import CARRY, number
from services.ingest.scans.domain.day import format_time, unix_ms
from services.ingest.scans.domain.filter import display_name
from services.ingest.scans.read_models import scan_log

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"])

Limit = Annotated[int, Query(ge=1, le=5000)]
Items = Annotated[int, Query(ge=0, le=1000)]


class Item(msgspec.Struct, rename="camel"):
    """An item in a box."""

    ts: str
    code: str
    operator: str
    uuid: str
    ts_ms: int


class Box(msgspec.Struct, rename="camel"):
    """A box on a day. `items` may be cut (`items_truncated`), `items_count` never is.

    `status` is `open` or `closed`, `closed_by` the kind of scan that closed it; `continued` says
    that it was opened on a day before.
    """

    client: str
    city: str
    box_no: str
    items_count: int
    first_at: str
    last_at: str
    operators: list[str]
    items: list[Item]
    box: str
    day: str
    status: str
    opened_at: str | None
    closed_at: str | None
    closed_by: str | None
    continued: bool
    items_truncated: bool
    first_at_ms: int
    last_at_ms: int
    opened_at_ms: int | None
    closed_at_ms: int | None


class City(msgspec.Struct, rename="camel"):
    """A client's boxes in a city; the totals include boxes on other pages."""

    city: str
    total_items: int
    total_boxes: int
    boxes: list[Box]


class Client(msgspec.Struct, rename="camel"):
    """A client's cities that have boxes on the page; the totals include other pages."""

    client: str
    total_items: int
    total_boxes: int
    cities: list[City]


class Boxes(msgspec.Struct, rename="camel"):
    """A page of boxes by client and city, and the totals of all pages."""

    generated_at: str
    filters: Filters
    clients: list[Client]
    total_items: int
    total_boxes: int


@router.get("/boxes", dependencies=[fresh("box", "scan_log", unless="as_of")])
async def boxes(
    ingest: Ingest,
    query: HistoricalQuery,
    limit: Limit = 500,
    offset: Offset = 0,
    items: Items = 200,
) -> Response:
    """Boxes of the days and filters asked for, those with most items first.

    With `as_of`, as they were known at that instant: from the log, 503 while too many others ask.
    """
    zone = ingest.settings.zone
    tables = (box.projection(zone), scan_log.projection(zone))
    select_rows = items_of_boxes(query.scan_filter, limit=limit, offset=offset, items=items)
    async with reading_as_of(
        ingest, query, tables, select_rows=select_rows, extra_days=CARRY
    ) as connection:
        page = await box.read_boxes(
            connection, query.scan_filter, limit=limit, offset=offset, items=items
        )
    body = present(page, query.filters, now=ingest.clock(), zone=zone)
    return json_response(body)


def present(page: box.Boxes, filters: Filters, *, now: datetime, zone: ZoneInfo) -> Boxes:
    """The response for a page; clients, cities and boxes keep the order of the page."""
    clients, total = page.clients(), page.total()
    return Boxes(
        generated_at=now.isoformat(),
        filters=filters,
        clients=[
            Client(
                client=display_name(name),
                total_items=clients[name].items,
                total_boxes=clients[name].boxes,
                cities=[
                    _city(city, page.cities[name, city], in_city, zone)
                    for city, in_city in groupby(of_client, key=lambda one: one.city)
                ],
            )
            for name, of_client in groupby(page.boxes, key=lambda one: one.client)
        ],
        total_items=total.items,
        total_boxes=total.boxes,
    )


def _city(name: str, total: Total, boxes: Iterable[BoxOnDay], zone: ZoneInfo) -> City:
    return City(
        city=display_name(name),
        total_items=total.items,
        total_boxes=total.boxes,
        boxes=[_box(one, zone) for one in boxes],
    )


def _box(box_on_day: BoxOnDay, zone: ZoneInfo) -> Box:
    tally, status = box_on_day.tally, box_on_day.status
    opened_at, opened_at_ms = _moment(status.opened_at, zone)
    closed_at, closed_at_ms = _moment(status.closed_at, zone)
    return Box(
        client=display_name(box_on_day.client),
        city=display_name(box_on_day.city),
        box_no=display_name(number(box_on_day.label)),
        items_count=tally.items,
        first_at=format_time(tally.first_at, zone),
        last_at=format_time(tally.last_at, zone),
        operators=box_on_day.operators,
        items=[_item(row, zone) for row in box_on_day.items],
        box=box_on_day.label,
        day=box_on_day.day.isoformat(),
        status="open" if status.is_open else "closed",
        opened_at=opened_at,
        closed_at=closed_at,
        closed_by=status.closed_by,
        continued=box_on_day.continued,
        items_truncated=len(box_on_day.items) < tally.items,
        first_at_ms=unix_ms(tally.first_at),
        last_at_ms=unix_ms(tally.last_at),
        opened_at_ms=opened_at_ms,
        closed_at_ms=closed_at_ms,
    )


def _item(row: Row, zone: ZoneInfo) -> Item:
    moment = row["effective_at"]
    return Item(
        ts=format_time(moment, zone),
        code=row["code"],
        operator=row["operator"],
        uuid=str(row["scan_id"]),
        ts_ms=unix_ms(moment),
    )


def _moment(moment: datetime | None, zone: ZoneInfo) -> tuple[str, int] | tuple[None, None]:
    return (None, None) if moment is None else (format_time(moment, zone), unix_ms(moment))
