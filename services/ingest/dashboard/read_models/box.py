"""Which boxes were worked on, what is in them, and are they open?

A box is a label of a client in a city on one day. For a range of days each day is read as if it
were the only one. Whether a box that stayed open was closed later is read from the rows of the
days around it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Date,
    Integer,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, array

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent
from libs.eventsourcing.codec import codec_of
from libs.names import comparable
from libs.postgres import query
from libs.postgres.query import Row
from libs.projections.projection import Connection, Projection
from services.ingest.dashboard.read_models.box_tally import (
    BOX,
    SAVE,
    merged_columns,
    read_tally,
    tally_columns,
)
from services.ingest.scans.domain.box import (
    CARRY,
    BoxHistory,
    BoxStatus,
    Tally,
    box_scan,
    box_status,
    number_key,
    tally_events,
)
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.domain.filter import PARTS_OF_BOX, ScanFilter, display_name
from services.ingest.scans.read_models import operator_name
from services.ingest.scans.read_models.conditions import condition
from services.ingest.scans.read_models.scan_log import SCAN_LOG

MAX_ITEMS: Final = 20_000
"""The most items on a page, whatever the number of boxes and items of each."""


@dataclass(frozen=True, slots=True)
class Total:
    """The number of live items and of boxes."""

    items: int = 0
    boxes: int = 0

    def __add__(self, other: "Total") -> "Total":
        return Total(self.items + other.items, self.boxes + other.boxes)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxOnDay:
    """A box on a day. The filter narrows `tally`, `operators` and `items`, but not `status`.

    `continued` if it was still open from a day before. `items` holds the first items: rows with
    `scan_id`, `code`, `operator` and `effective_at`.
    """

    client: str
    city: str
    label: str
    day: date
    tally: Tally
    operators: list[str]
    status: BoxStatus
    continued: bool
    items: Sequence[Row]


@dataclass(frozen=True, kw_only=True, slots=True)
class Boxes:
    """A page of boxes in its order, and the totals of all pages by client and city."""

    cities: Mapping[tuple[str, str], Total]
    boxes: Sequence[BoxOnDay]

    def clients(self) -> dict[str, Total]:
        """The totals by client."""
        return _by_client(self.cities)

    def total(self) -> Total:
        """The total of all boxes."""
        return sum(self.cities.values(), Total())


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, with days in `zone`; another zone needs a rebuild."""
    return Projection(
        name="box",
        tables=("box",),
        topics=(ingest.SCANS,),
        codec=codec_of(ingest.EVENTS),
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Add scans and removals to the tallies, in any order."""
    boxes: dict[_Key, list[Any]] = {}
    for envelope in events:
        if scan := box_scan(envelope.event):
            day = day_of(scan.effective_at, zone)
            operator = comparable(scan.operator)
            key = (envelope.tenant, day, scan.client, scan.city, scan.box, operator)
            if key in boxes:
                boxes[key].append(envelope.event)
            else:
                boxes[key] = [envelope.event]
    rows = (
        (*key, number_key(key[4]), *tally_columns(tally_events(scans)))
        for key, scans in boxes.items()
    )
    await SAVE.put(connection, rows)


async def read_boxes(
    connection: Any, scan_filter: ScanFilter, *, limit: int, offset: int = 0, items: int = 0
) -> Boxes:
    """A page of the boxes that match, with at most `items` items of each.

    Clients and their cities are ordered by items, then by name; the boxes of a city by items, then
    by number. An operator's boxes are those with a scan of that operator. Only the totals read all
    rows that match; the other queries are bounded by the page.
    """
    days = list(scan_filter.days)
    totals = await query.fetch(connection, totals_query(scan_filter), days=days)
    cities = {(row["client"], row["city"]): Total(row["items"], row["boxes"]) for row in totals}
    rows: Sequence[Row] = []
    if slices := list(_slices(cities, limit, offset)):
        clients, names, skip, take = zip(*slices, strict=True)
        rows = await query.fetch(
            connection,
            page_query(scan_filter),
            days=days,
            client=clients,
            city=names,
            skip=skip,
            take=take,
        )
    histories = await _histories(connection, scan_filter, rows)
    contents = await _items(connection, scan_filter, rows, items)
    workers = {name for row in rows for name in row["operators"] if name}
    displayed = await operator_name.display_names(connection, scan_filter.tenant, workers)
    return Boxes(
        cities=cities,
        boxes=[
            _box_on_day(*parts, displayed) for parts in zip(rows, histories, contents, strict=True)
        ],
    )


_Key: TypeAlias = tuple[str, date, str, str, str, str]
_Slice: TypeAlias = tuple[str, str, int, int]


def _by_client(cities: Mapping[tuple[str, str], Total]) -> dict[str, Total]:
    clients: dict[str, Total] = {}
    for (client, _), total in cities.items():
        clients[client] = clients.get(client, Total()) + total
    return clients


def _slices(cities: Mapping[tuple[str, str], Total], limit: int, offset: int) -> Iterator[_Slice]:
    """The slices of a page: client, city, and how many of its boxes to skip and take."""
    clients = _by_client(cities)

    def sorting(key: tuple[str, str]) -> tuple[object, ...]:
        client, city = key
        return (
            -clients[client].items,
            display_name(client),
            client,
            -cities[key].items,
            display_name(city),
            city,
        )

    for key in sorted(cities, key=sorting):
        boxes = cities[key].boxes
        take = min(limit, boxes - offset)
        if take > 0:
            yield *key, offset, take
            limit -= take
        offset = max(0, offset - boxes)
        if not limit:
            return


async def _histories(
    connection: Any, scan_filter: ScanFilter, rows: Sequence[Row]
) -> list[BoxHistory]:
    """The tallies of all operators that decide whether the boxes of `rows` are open."""
    if all(getattr(scan_filter, name) is None for name in PARTS_OF_BOX):
        same_day = {n: [read_tally(row)] for n, row in enumerate(rows)}
    else:
        same_day = await _near(connection, scan_filter, dict(enumerate(rows)), range(1))
    not_begun = {n: row for n, row in enumerate(rows) if not same_day[n][0].begins}
    not_ended = {n: row for n, row in enumerate(rows) if not same_day[n][0].ends}
    before = await _near(connection, scan_filter, not_begun, range(-CARRY, 0))
    after = await _near(connection, scan_filter, not_ended, range(1, CARRY + 1))
    return [
        BoxHistory(
            before=tuple(before.get(n, ())), day=same_day[n][0], after=tuple(after.get(n, ()))
        )
        for n in range(len(rows))
    ]


async def _near(
    connection: Any, scan_filter: ScanFilter, rows: Mapping[int, Row], days: range
) -> dict[int, list[Tally]]:
    """The tallies of the boxes of `rows` on days at a distance of `days`, earliest first."""
    if not rows:
        return {}
    numbers, boxes = list(rows), _columns(list(rows.values()))
    tallies: dict[int, list[Tally]] = {}
    for row in await query.fetch(connection, tallies_query(scan_filter.tenant, days), **boxes):
        tallies.setdefault(numbers[row["n"] - 1], []).append(read_tally(row))
    return tallies


async def _items(
    connection: Any, scan_filter: ScanFilter, rows: Sequence[Row], most: int
) -> list[list[Row]]:
    """The first items of each box, at most `most`, and at most `MAX_ITEMS` together."""
    takes, left = [], MAX_ITEMS
    for row in rows:
        takes.append(max(0, min(most, row["items"], left)))
        left -= takes[-1]
    items: list[list[Row]] = [[] for _ in rows]
    if any(takes):
        boxes = _columns(rows)
        for row in await query.fetch(connection, contents_query(scan_filter), take=takes, **boxes):
            items[row["n"] - 1].append(row)
    return items


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in ("client", "city", "box", "day")}


def _box_on_day(
    row: Row, history: BoxHistory, items: Sequence[Row], names: Mapping[str, str]
) -> BoxOnDay:
    status, continued = box_status(history)
    return BoxOnDay(
        client=row["client"],
        city=row["city"],
        label=row["box"],
        day=row["day"],
        tally=read_tally(row),
        operators=sorted(names[name] for name in row["operators"] if name),
        status=status,
        continued=continued,
        items=items,
    )


_LABEL: Final = (BOX.c.client, BOX.c.city, BOX.c.box)


def totals_query(scan_filter: ScanFilter) -> Select[Any]:
    """`client, city, items, boxes` of the boxes that match on `days`."""
    one = (
        select(BOX.c.client, BOX.c.city, func.sum(BOX.c["items"]).label("items"))
        .where(_matching(scan_filter))
        .group_by(BOX.c.day, *_LABEL)
        .subquery("one")
    )
    return select(
        one.c.client,
        one.c.city,
        func.sum(one.c["items"]).cast(BigInteger).label("items"),
        func.count().label("boxes"),
    ).group_by(one.c.client, one.c.city)


def page_query(scan_filter: ScanFilter) -> Select[Any]:
    """Matching boxes on `days`: of each `client` and `city` those behind `skip`, at most `take`."""
    keys = _unnested(client=Text, city=Text, skip=BigInteger, take=BigInteger)
    boxes = (
        select(
            BOX.c.day,
            *_LABEL,
            func.min(BOX.c.number_key).label("number_key"),
            func.array_agg(aggregate_order_by(BOX.c.operator, BOX.c.operator)).label("operators"),
            *merged_columns(),
        )
        .where(_matching(scan_filter), _same(BOX, keys, "client", "city"))
        .group_by(BOX.c.day, *_LABEL)
        .order_by(func.sum(BOX.c["items"]).desc(), func.min(BOX.c.number_key), BOX.c.box, BOX.c.day)
        .limit(keys.c.take)
        .offset(keys.c.skip)
        .lateral("boxes")
    )
    order = (keys.c.n, boxes.c["items"].desc(), boxes.c.number_key, boxes.c.box, boxes.c.day)
    return select(boxes).select_from(keys).join(boxes, true()).order_by(*order)


def tallies_query(tenant: str, distances: range) -> Select[Any]:
    """Tallies of the boxes in the lists `client`, `city`, `box` at `distances` of days from `day`.

    `n` is the position in the lists, from 1; the days of a box are in their order.
    """
    keys = _unnested(client=Text, city=Text, box=Text, day=Date)
    days = array([keys.c.day + literal_column(str(n), Integer) for n in distances], type_=Date)
    tallies = (
        select(BOX.c.day, *merged_columns())
        .where(BOX.c.tenant == tenant, BOX.c.day == any_(days))
        .where(_same(BOX, keys, "client", "city", "box"))
        .group_by(BOX.c.day)
        .lateral("tallies")
    )
    rows = select(keys.c.n, tallies).select_from(keys).join(tallies, true())
    return rows.order_by(keys.c.n, tallies.c.day)


def contents_query(scan_filter: ScanFilter) -> Select[Any]:
    """The first `take` live items of the boxes in the lists `client`, `city`, `box`, `day`."""
    keys = _unnested(client=Text, city=Text, box=Text, day=Date, take=BigInteger)
    # The kind is a literal, so that the planner chooses the partial index.
    live = and_(SCAN_LOG.c.kind == literal_column("'ITEM'"), SCAN_LOG.c.removed_at.is_(None))
    order = ("effective_at", "received_at", "scanned_at", "scan_id")
    items = (
        select(*(SCAN_LOG.c[name] for name in (*order, "code", "operator", "tenant")))
        .where(condition(SCAN_LOG, scan_filter), live)
        .where(_same(SCAN_LOG, keys, "client", "city", "box", "day"))
        .order_by(*(SCAN_LOG.c[name] for name in order))
        .limit(keys.c.take)
        .lateral("items")
    )
    columns, source = operator_name.with_spelling(
        items, "operator", source=keys.join(items, true())
    )
    rows = select(keys.c.n, *columns).select_from(source)
    return rows.order_by(keys.c.n, *(items.c[name] for name in order))


def _unnested(**columns: Any) -> Any:
    """Parallel lists as a table, with the position as `n`."""
    lists = (bindparam(name, type_=ARRAY(kind)) for name, kind in columns.items())
    names = (column(name, kind) for name, kind in columns.items())
    return func.unnest(*lists).table_valued(*names, with_ordinality="n").render_derived(name="keys")


def _same(table: Table, keys: Any, *names: str) -> ColumnElement[bool]:
    return and_(*(table.c[name] == keys.c[name] for name in names))


def _matching(scan_filter: ScanFilter) -> ColumnElement[bool]:
    # A list of days, not a range: so the index also narrows by the client behind the day.
    days: Column[Any] = BOX.c.day
    return and_(condition(BOX, scan_filter), days == any_(bindparam("days", type_=ARRAY(Date))))
