"""What is asked of the rows of boxes. Whatever is asked of many at once is asked of each by key."""

from typing import Any, Final

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

from services.ingest.dashboard.read_models.box_rows import BOX, merged
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.read_models import operator_name
from services.ingest.scans.read_models.conditions import condition
from services.ingest.scans.read_models.scan_log import SCAN_LOG

_LABEL: Final = (BOX.c.client, BOX.c.city, BOX.c.box)


def totals(question: ScanFilter) -> Select[Any]:
    """`client, city, items, boxes` of everything that matches on `days`."""
    one = (
        select(BOX.c.client, BOX.c.city, func.sum(BOX.c["items"]).label("items"))
        .where(_matching(question))
        .group_by(BOX.c.day, *_LABEL)
        .subquery("one")
    )
    return select(
        one.c.client,
        one.c.city,
        func.sum(one.c["items"]).cast(BigInteger).label("items"),
        func.count().label("boxes"),
    ).group_by(one.c.client, one.c.city)


def page(question: ScanFilter) -> Select[Any]:
    """Matching boxes on `days`, cut by the lists `client`, `city`, `skip` and `take`, in order."""
    each = _each(client=Text, city=Text, skip=BigInteger, take=BigInteger)
    boxes = (
        select(
            BOX.c.day,
            *_LABEL,
            func.min(BOX.c.number_key).label("number_key"),
            func.array_agg(aggregate_order_by(BOX.c.operator, BOX.c.operator)).label("operators"),
            *merged(),
        )
        .where(_matching(question), _same(BOX, each, "client", "city"))
        .group_by(BOX.c.day, *_LABEL)
        .order_by(func.sum(BOX.c["items"]).desc(), func.min(BOX.c.number_key), BOX.c.box, BOX.c.day)
        .limit(each.c.take)
        .offset(each.c.skip)
        .lateral("boxes")
    )
    order = (each.c.n, boxes.c["items"].desc(), boxes.c.number_key, boxes.c.box, boxes.c.day)
    return select(boxes).select_from(each).join(boxes, true()).order_by(*order)


def days_of(tenant: str, away: range) -> Select[Any]:
    """Tallies of the boxes in the lists `client`, `city`, `box`, so many days from `day`.

    `n` says which of the list, beginning with 1; the days of each come in their order.
    """
    each = _each(client=Text, city=Text, box=Text, day=Date)
    days = array([each.c.day + literal_column(str(n), Integer) for n in away], type_=Date)
    tallies = (
        select(BOX.c.day, *merged())
        .where(BOX.c.tenant == tenant, BOX.c.day == any_(days))
        .where(_same(BOX, each, "client", "city", "box"))
        .group_by(BOX.c.day)
        .lateral("tallies")
    )
    found = select(each.c.n, tallies).select_from(each).join(tallies, true())
    return found.order_by(each.c.n, tallies.c.day)


def contents(question: ScanFilter) -> Select[Any]:
    """Of the boxes in the lists `client`, `city`, `box`, `day` the first `take` live items."""
    each = _each(client=Text, city=Text, box=Text, day=Date, take=BigInteger)
    # The kind is no parameter, so that the planner can see which index serves.
    live = and_(SCAN_LOG.c.kind == literal_column("'ITEM'"), SCAN_LOG.c.removed_at.is_(None))
    order = ("effective_at", "received_at", "scanned_at", "scan_id")
    items = (
        select(*(SCAN_LOG.c[name] for name in (*order, "code", "operator", "tenant")))
        .where(condition(SCAN_LOG, question), live)
        .where(_same(SCAN_LOG, each, "client", "city", "box", "day"))
        .order_by(*(SCAN_LOG.c[name] for name in order))
        .limit(each.c.take)
        .lateral("items")
    )
    columns, source = operator_name.with_spelling(
        items, "operator", source=each.join(items, true())
    )
    found = select(each.c.n, *columns).select_from(source)
    return found.order_by(each.c.n, *(items.c[name] for name in order))


def _each(**columns: Any) -> Any:
    """Lists of one length as a table, with the number of the row as `n`."""
    lists = (bindparam(name, type_=ARRAY(kind)) for name, kind in columns.items())
    names = (column(name, kind) for name, kind in columns.items())
    return func.unnest(*lists).table_valued(*names, with_ordinality="n").render_derived(name="each")


def _same(table: Table, each: Any, *names: str) -> ColumnElement[bool]:
    return and_(*(table.c[name] == each.c[name] for name in names))


def _matching(question: ScanFilter) -> ColumnElement[bool]:
    # Each day by itself, so that the client behind it in the key still narrows the search.
    days: Column[Any] = BOX.c.day
    return and_(condition(BOX, question), days == any_(bindparam("days", type_=ARRAY(Date))))
