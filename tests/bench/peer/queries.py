"""What the peer asks its table: plain SQL aggregates, no counters kept beside."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from tests.bench.peer.models import Event
from tests.bench.peer.schemas import EventCreate, OperatorState, Summary

ONLINE_SECONDS = 300


async def store(session: AsyncSession, events: Sequence[EventCreate]) -> set[UUID]:
    """Insert what is not there yet; which were new."""
    statement = insert(Event).on_conflict_do_nothing(index_elements=[Event.uuid])
    rows = [event.row() for event in events]
    inserted = await session.scalars(statement.returning(Event.uuid), rows)
    new = set(inserted)
    await session.commit()
    return new


async def present(session: AsyncSession, uuids: Sequence[UUID]) -> list[UUID]:
    """Those that are stored."""
    return [*await session.scalars(select(Event.uuid).where(Event.uuid.in_(uuids)))]


async def state(
    session: AsyncSession, day: date, operator: str | None
) -> tuple[list[OperatorState], Summary]:
    """Every operator's day, and the sums."""
    counts = await session.execute(
        select(Event.operator, *(_count(*kinds) for kinds in _KINDS), func.max(Event.received_at))
        .where(*_asked(day, operator))
        .group_by(Event.operator)
        .order_by(Event.operator)
    )
    latest = await session.execute(
        select(Event.operator, Event.client, Event.city, Event.box)
        .distinct(Event.operator)
        .where(*_asked(day, operator))
        .order_by(Event.operator, Event.ts.desc())
    )
    last = {row.operator: row for row in latest}
    rows = counts.all()
    now = datetime.now(UTC)
    return [_operator(row, last[row.operator], now) for row in rows], _summary(rows)


_KINDS = (("ITEM",), ("BOX",), ("CLOSE", "AUTO_CLOSE"), ("ERROR",))


def _count(*kinds: str) -> ColumnElement[int]:
    return func.count().filter(Event.type.in_(kinds))


def _asked(day: date, operator: str | None) -> list[ColumnElement[bool]]:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    conditions = [Event.ts >= midnight, Event.ts < midnight + timedelta(days=1)]
    return [*conditions, Event.operator == operator] if operator else conditions


def _operator(row: Any, last: Any, now: datetime) -> OperatorState:
    operator, items, _, _, errors, seen = row
    age = int((now - seen).total_seconds())
    return OperatorState(
        operator=operator,
        online=age < ONLINE_SECONDS,
        onlineAgeSec=age,
        lastSeenMs=int(seen.timestamp() * 1000),
        lastClient=last.client,
        lastCity=last.city,
        lastBox=last.box,
        itemsToday=items,
        errorsToday=errors,
    )


def _summary(rows: Sequence[Any]) -> Summary:
    return Summary(
        items=sum(row[1] for row in rows),
        opens=sum(row[2] for row in rows),
        closes=sum(row[3] for row in rows),
        errors=sum(row[4] for row in rows),
    )
