"""The seed as a plain FastAPI + SQLAlchemy service: validate, insert, query the same table.

Plain SQL aggregates, no counters kept beside; the table and the pool are as the seed describes
them: 20 connections, and 10 more that are opened for one request each. With `CONNECTIONS` it has so
many from the start.

Served by granian: `granian --interface asgi --factory tests.bench.peer:create_app`, with
`DATABASE_URL` (postgresql+asyncpg://…) and `API_KEY` in the environment.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, DateTime, Index, String, Text, Uuid, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
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
        return self.model_dump() | {"ts": datetime.fromtimestamp(self.ts / 1000, UTC)}


class BatchRequest(BaseModel):
    events: list[EventCreate] = Field(min_length=1, max_length=100)


class BatchResponse(BaseModel):
    ok: bool = True
    inserted: int
    skipped: int
    duplicates: list[UUID]


class OperatorState(BaseModel):
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
    items: int = 0
    opens: int = 0
    closes: int = 0
    errors: int = 0


class DashboardState(BaseModel):
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


FILL = """
INSERT INTO events (ts, type, operator, client, city, box, code, details)
SELECT now() - (now() - date_trunc('day', now(), 'UTC')) * ({events} - n) / {events},
    CASE n / 100 % 40 WHEN 0 THEN 'BOX' WHEN 39 THEN 'CLOSE' WHEN 7 THEN 'ERROR' ELSE 'ITEM' END,
    'operator-' || n % 100, 'client-' || (n % 100 + n / 40000) % 20, 'city-' || n % 5,
    'box-' || n % 100 || '-' || n / 4000, '20424692' || n % 100000, NULL
FROM generate_series(1, {events}) AS n
"""
"""Scans of today, distributed as the generator's are."""

_KINDS = (("ITEM",), ("BOX",), ("CLOSE", "AUTO_CLOSE"), ("ERROR",))


def _count(*kinds: str) -> ColumnElement[int]:
    return func.count().filter(Event.type.in_(kinds))


def _filters(day: date, operator: str | None) -> list[ColumnElement[bool]]:
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


def create_app() -> FastAPI:
    app = FastAPI(title="Scanner Logger API", lifespan=_lifespan)
    app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(
        os.environ["DATABASE_URL"],
        pool_size=int(os.environ.get("CONNECTIONS", "20")),
        max_overflow=10,
    )
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    app.state.api_key = os.environ["API_KEY"]
    yield
    await engine.dispose()


async def check_key(
    request: Request,
    key: Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))],
) -> None:
    if key is None or not secrets.compare_digest(key.encode(), request.app.state.api_key.encode()):
        raise HTTPException(401, "Invalid or missing API key")


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session)]
router = APIRouter(prefix="/api/v1", dependencies=[Depends(check_key)])


@router.post("/events/batch")
async def batch(request: BatchRequest, session: Session) -> BatchResponse:
    statement = insert(Event).on_conflict_do_nothing(index_elements=[Event.uuid])
    rows = [event.row() for event in request.events]
    new = set(await session.scalars(statement.returning(Event.uuid), rows))
    await session.commit()
    duplicates = [event.uuid for event in request.events if event.uuid not in new]
    return BatchResponse(inserted=len(new), skipped=len(duplicates), duplicates=duplicates)


@router.get("/dashboard/state")
async def state(
    session: Session, date: date | None = None, operator: str | None = None
) -> DashboardState:
    now = datetime.now(UTC)
    filters = _filters(date or now.date(), operator)
    counts = await session.execute(
        select(Event.operator, *(_count(*kinds) for kinds in _KINDS), func.max(Event.received_at))
        .where(*filters)
        .group_by(Event.operator)
        .order_by(Event.operator)
    )
    latest = await session.execute(
        select(Event.operator, Event.client, Event.city, Event.box)
        .distinct(Event.operator)
        .where(*filters)
        .order_by(Event.operator, Event.ts.desc())
    )
    last, rows = {row.operator: row for row in latest}, counts.all()
    return DashboardState(
        generatedAt=now,
        operators=[_operator(row, last[row.operator], now) for row in rows],
        summary=Summary(
            items=sum(row[1] for row in rows),
            opens=sum(row[2] for row in rows),
            closes=sum(row[3] for row in rows),
            errors=sum(row[4] for row in rows),
        ),
    )
