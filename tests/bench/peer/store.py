"""What the peer takes and answers, its one table, and what it asks of that: plain SQL aggregates.

No counters are kept beside. The table is as the seed describes it.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import BaseModel, Field
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Index,
    String,
    Text,
    Uuid,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ONLINE_SECONDS = 300
Short = Annotated[str | None, Field(max_length=100)]


class EventCreate(BaseModel):
    """One scan of a batch; `ts` counts milliseconds."""

    uuid: UUID = Field(default_factory=uuid4)
    ts: int = Field(ge=0)
    type: str = Field(max_length=50)
    operator: str = Field(max_length=100)
    client: Short = None
    city: Short = None
    box: Short = None
    code: str | None = Field(default=None, max_length=500)
    details: str | None = None
    source: str = Field(default="pwa", max_length=50)

    def row(self) -> dict[str, object]:
        """Its columns."""
        return self.model_dump() | {"ts": datetime.fromtimestamp(self.ts / 1000, UTC)}


class BatchRequest(BaseModel):
    """Up to a hundred scans."""

    events: list[EventCreate] = Field(min_length=1, max_length=100)


class BatchResponse(BaseModel):
    """How many were new."""

    ok: bool = True
    inserted: int
    skipped: int
    duplicates: list[UUID]


class OperatorState(BaseModel):
    """One operator's day."""

    operator: str
    online: bool
    onlineAgeSec: int  # noqa: N815 -- the clients' spelling
    lastSeenMs: int  # noqa: N815
    lastClient: str | None  # noqa: N815
    lastCity: str | None  # noqa: N815
    lastBox: str | None  # noqa: N815
    itemsToday: int  # noqa: N815
    errorsToday: int  # noqa: N815


class Summary(BaseModel):
    """The sums of the day."""

    items: int = 0
    opens: int = 0
    closes: int = 0
    errors: int = 0


class DashboardState(BaseModel):
    """What the dashboard shows."""

    generatedAt: datetime  # noqa: N815
    operators: list[OperatorState]
    summary: Summary


class Base(DeclarativeBase):
    """What the tables belong to."""


class Event(Base):
    """A scan. Of the seed's indexes the partial one is left out: no Postgres takes NOW() there."""

    __tablename__ = "events"

    uuid: Mapped[UUID] = mapped_column(
        Uuid, primary_key=True, server_default=func.gen_random_uuid()
    )
    ts: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    type: Mapped[str] = mapped_column(String(50))
    operator: Mapped[str] = mapped_column(String(100))
    client: Mapped[str | None] = mapped_column(String(100))
    city: Mapped[str | None] = mapped_column(String(100))
    box: Mapped[str | None] = mapped_column(String(100))
    code: Mapped[str | None] = mapped_column(String(500))
    details: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    source: Mapped[str | None] = mapped_column(String(50), server_default="pwa")
    created_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )

    __table_args__ = (
        Index("idx_events_ts", ts.desc()),
        Index("idx_events_operator", operator, ts.desc()),
        Index("idx_events_client", client, ts.desc()),
        Index("idx_events_type", "type", ts.desc()),
        Index("idx_events_date", text("((ts AT TIME ZONE 'UTC')::date)"), operator),
    )


async def store(session: AsyncSession, events: Sequence[EventCreate]) -> set[UUID]:
    """Insert what is not there yet; which were new."""
    statement = insert(Event).on_conflict_do_nothing(index_elements=[Event.uuid])
    rows = [event.row() for event in events]
    inserted = await session.scalars(statement.returning(Event.uuid), rows)
    new = set(inserted)
    await session.commit()
    return new


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
