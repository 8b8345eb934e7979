"""Between which times does a page of `scan_log` lie?

Pages have an offset, newest received first. The numbers of rows received in each hour and minute
give the times between which a page lies. So reading a page costs its rows and the rest of two
minutes, however large the offset is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    MetaData,
    Select,
    SmallInteger,
    Table,
    Text,
    bindparam,
    cast,
    func,
    or_,
    select,
)

from libs.postgres import query
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.read_models.conditions import filters_of, parametrized_condition, values

HOUR: Final = 60
MINUTE: Final = 1

SCAN_COUNT: Final = Table(
    "scan_count",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("minutes", SmallInteger, primary_key=True),
    Column("since", DateTime(timezone=True), primary_key=True),
    Column("operator", Text, primary_key=True),
    Column("client", Text, primary_key=True),
    Column("city", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
"""The number of live rows of `scan_log` of a `day`, received within `minutes` from `since` on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A page's rows: received from `since` to before `until`, behind the first `skip` of those."""

    since: datetime
    until: datetime
    skip: int


class _Bucket(NamedTuple):
    """The rows received from `since` on; `before` rows are newer."""

    since: datetime
    before: int


async def window(
    connection: Any, scan_filter: ScanFilter, *, kind: str | None, limit: int, offset: int
) -> tuple[int, Window | None]:
    """The number of rows that match, and the window of a page; None for an empty page."""
    parameters = values(scan_filter) | {
        "first": scan_filter.days.first,
        "last": scan_filter.days.last,
    }
    parameters |= {} if kind is None else {"kind": kind}
    filters, of_a_kind = filters_of(scan_filter), kind is not None
    hours = await query.fetch(connection, _hours(filters, of_a_kind), **parameters)
    total = sum(row["count"] for row in hours)
    if offset >= total:
        return total, None
    last = min(offset + limit, total) - 1
    top, bottom = _bucket(hours, offset), _bucket(hours, last)
    between = {"top": top.since, "bottom": bottom.since}
    between |= {f"{name}_end": at + timedelta(minutes=HOUR) for name, at in between.items()}
    minutes = await query.fetch(connection, _minutes(filters, of_a_kind), **parameters, **between)
    begin = _bucket((row for row in minutes if row["since"] >= top.since), offset - top.before)
    below = (row for row in minutes if row["since"] < between["bottom_end"])
    end = _bucket(below, last - bottom.before)
    return total, Window(
        since=end.since,
        until=begin.since + timedelta(minutes=MINUTE),
        skip=offset - top.before - begin.before,
    )


def _bucket(rows: Iterable[Any], number: int) -> _Bucket:
    """The bucket of the row with this number, from 0; the buckets are newest first."""
    before = 0
    for row in rows:
        if before + row["count"] > number:
            return _Bucket(row["since"], before)
        before += row["count"]
    raise LookupError(f"the counts of minutes and hours differ: {number} rows are behind {before}")


@cache
def _hours(filters: tuple[str, ...], of_a_kind: bool) -> Select[Any]:
    return _sums(filters, of_a_kind, HOUR)


@cache
def _minutes(filters: tuple[str, ...], of_a_kind: bool) -> Select[Any]:
    since = SCAN_COUNT.c.since
    return _sums(filters, of_a_kind, MINUTE).where(
        or_(
            *(
                (since >= bindparam(name)) & (since < bindparam(f"{name}_end"))
                for name in ("top", "bottom")
            )
        )
    )


def _sums(filters: tuple[str, ...], of_a_kind: bool, minutes: int) -> Select[Any]:
    c = SCAN_COUNT.c
    counted = cast(func.sum(c.count), BigInteger).label("count")
    sums = (
        select(c.since, counted)
        .where(
            parametrized_condition(SCAN_COUNT, filters),
            c.day.between(bindparam("first"), bindparam("last")),
            c.minutes == minutes,
        )
        .group_by(c.since)
        .order_by(c.since.desc())
    )
    return sums.where(c.kind == bindparam("kind")) if of_a_kind else sums
