"""Which boxes were worked on, what is in them, and how do they stand?

A box on another day is another box, and so is the same label for another client or in another
city. Every day of a range is answered as if it were asked alone; what became of an open box
later, a few rows of neighbouring days tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from contracts import ingest
from contracts.envelope import Envelope
from contracts.ingest import IngestEvent
from libs.eventsourcing.codec import codec_of
from libs.names import comparable
from libs.postgres import query
from libs.postgres.columns import columns
from libs.postgres.query import Row
from libs.projections.projection import Connection, Projection
from services.ingest.dashboard.read_models import box_queries
from services.ingest.dashboard.read_models.box_rows import ADD, tally_of, values
from services.ingest.scans.domain.box import (
    CARRY,
    Around,
    BoxStatus,
    Tally,
    box_status,
    boxed,
    number_key,
)
from services.ingest.scans.domain.box import tally_of as tally_of_events
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.domain.filter import ScanFilter, display_name
from services.ingest.scans.read_models import operator_name

ITEMS_AT_MOST: Final = 20_000
"""How many items one answer lists, however many boxes and items of each are asked for."""


@dataclass(frozen=True, slots=True)
class Total:
    """How many live items in how many boxes."""

    items: int = 0
    boxes: int = 0

    def __add__(self, other: "Total") -> "Total":
        return Total(self.items + other.items, self.boxes + other.boxes)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundBox:
    """A box on a day. Tally, operators and items pass the filters; standing is the box's own.

    `continued` if it was brought along, still open, from a day before. `items` are the first of
    them: rows with `scan_id`, `code`, `operator` and `effective_at`.
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
    """A page of boxes in the order of the answer, and the totals of all pages."""

    cities: Mapping[tuple[str, str], Total]
    boxes: Sequence[FoundBox]

    def clients(self) -> dict[str, Total]:
        """Totals by client."""
        return _by_client(self.cities)

    def total(self) -> Total:
        """The total of everything."""
        return sum(self.cities.values(), Total())


def projection(zone: ZoneInfo) -> Projection[IngestEvent]:
    """The projection, sorting into days of `zone`; another zone needs a rebuild."""
    return Projection(
        name="box",
        tables=("box",),
        topics=(ingest.SCANS,),
        codec=codec_of(ingest.EVENTS),
        # Boxes fill by the second.
        project=partial(project, zone=zone),
    )


async def project(
    connection: Connection, events: Sequence[Envelope[IngestEvent]], *, zone: ZoneInfo
) -> None:
    """Add every scan, and take back every removed item, in whatever order they come."""
    boxes: dict[_Key, list[Any]] = {}
    for envelope in events:
        if scan := boxed(envelope.event):
            day = day_of(scan.effective_at, zone)
            operator = comparable(scan.operator)
            key = (envelope.tenant, day, scan.client, scan.city, scan.box, operator)
            if key in boxes:
                boxes[key].append(envelope.event)
            else:
                boxes[key] = [envelope.event]
    if boxes:
        rows = (
            (*key, number_key(key[4]), *values(tally_of_events(of))) for key, of in boxes.items()
        )
        await connection.execute(ADD, *columns(rows))


async def answer(
    connection: Any, question: ScanFilter, *, limit: int, offset: int = 0, items: int = 0
) -> Boxes:
    """A page of the boxes that match, with at most `items` items of each.

    Clients and their cities come by items, then by name; boxes of a city by items, then by
    number. An operator's boxes are those that operator did something in. Only the totals read
    all rows that match; the rest is bounded by the page.
    """
    days = [question.days.first + timedelta(days=n) for n in range(len(question.days))]
    totals = await query.fetch(connection, box_queries.totals(question), days=days)
    cities = {(row["client"], row["city"]): Total(row["items"], row["boxes"]) for row in totals}
    rows: Sequence[Row] = []
    if cuts := list(_cuts(cities, limit, offset)):
        clients, names, skip, take = zip(*cuts, strict=True)
        rows = await query.fetch(
            connection,
            box_queries.page(question),
            days=days,
            client=clients,
            city=names,
            skip=skip,
            take=take,
        )
    around = await _around(connection, question, rows)
    listed = await _items(connection, question, rows, items)
    workers = {name for row in rows for name in row["operators"] if name}
    spelled = await operator_name.written(connection, question.tenant, workers)
    return Boxes(
        cities=cities,
        boxes=[_found_box(*each, spelled) for each in zip(rows, around, listed, strict=True)],
    )


_Key: TypeAlias = tuple[str, date, str, str, str, str]
_Cut: TypeAlias = tuple[str, str, int, int]


def _by_client(cities: Mapping[tuple[str, str], Total]) -> dict[str, Total]:
    clients: dict[str, Total] = {}
    for (client, _), total in cities.items():
        clients[client] = clients.get(client, Total()) + total
    return clients


def _cuts(cities: Mapping[tuple[str, str], Total], limit: int, offset: int) -> Iterator[_Cut]:
    """Of which client and city how many boxes are to be skipped and taken, for one page."""
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


async def _around(connection: Any, question: ScanFilter, rows: Sequence[Row]) -> list[Around]:
    """The boxes' days, of all operators, and of other days what their standing depends on."""
    if question.operator is None:
        own = {n: [tally_of(row)] for n, row in enumerate(rows)}
    else:
        own = await _near(connection, question, dict(enumerate(rows)), range(1))
    begun = {n: row for n, row in enumerate(rows) if not own[n][0].begins}
    left = {n: row for n, row in enumerate(rows) if not own[n][0].ends}
    before = await _near(connection, question, begun, range(-CARRY, 0))
    after = await _near(connection, question, left, range(1, CARRY + 1))
    return [
        Around(before=tuple(before.get(n, ())), day=own[n][0], after=tuple(after.get(n, ())))
        for n in range(len(rows))
    ]


async def _near(
    connection: Any, question: ScanFilter, rows: Mapping[int, Row], days: range
) -> dict[int, list[Tally]]:
    """By number, the tallies of the boxes of `rows` on days so far away, earliest first."""
    if not rows:
        return {}
    numbers, each = list(rows), _columns(list(rows.values()))
    found: dict[int, list[Tally]] = {}
    for row in await query.fetch(connection, box_queries.days_of(question.tenant, days), **each):
        found.setdefault(numbers[row["n"] - 1], []).append(tally_of(row))
    return found


async def _items(
    connection: Any, question: ScanFilter, rows: Sequence[Row], most: int
) -> list[list[Row]]:
    """Of each box the first items, at most `most`, and of the page at most `ITEMS_AT_MOST`."""
    takes, left = [], ITEMS_AT_MOST
    for row in rows:
        takes.append(max(0, min(most, row["items"], left)))
        left -= takes[-1]
    listed: list[list[Row]] = [[] for _ in rows]
    if any(takes):
        each = _columns(rows)
        for row in await query.fetch(
            connection, box_queries.contents(question), take=takes, **each
        ):
            listed[row["n"] - 1].append(row)
    return listed


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in ("client", "city", "box", "day")}


def _found_box(
    row: Row, around: Around, items: Sequence[Row], names: Mapping[str, str]
) -> FoundBox:
    stands, continued = box_status(around)
    return FoundBox(
        client=row["client"],
        city=row["city"],
        label=row["box"],
        day=row["day"],
        tally=tally_of(row),
        operators=sorted(names[name] for name in row["operators"] if name),
        status=stands,
        continued=continued,
        items=items,
    )
