"""Rows that are the states of aggregates."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import BigInteger, Column

from contracts.envelope import Envelope
from libs.eventsourcing.decider import Decider
from libs.http.paging import Slice
from libs.postgres.pool import Pool
from libs.projections.states import StateTable

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sum:
    """The state: the sum of all events, None without one."""

    total: int | None = None


SUM: Final[Decider[Sum, int, int]] = Decider(
    category="sum",
    initial=Sum(),
    decide=lambda _, command: [command],
    evolve=lambda state, event: Sum((state.total or 0) + event),
)
SUMS: Final = StateTable(
    "sums",
    SUM,
    Column("total", BigInteger),
    key="number",
    values=lambda state: {"total": state.total} if state.total else {},
)


@pytest.fixture
async def sums(pool: asyncpg.Pool) -> AsyncIterator[Pool]:
    """A database with the table."""
    await pool.execute(
        "CREATE TABLE sums (tenant text, number bigint, version bigint NOT NULL,"
        " state jsonb NOT NULL, total bigint, PRIMARY KEY (tenant, number))"
    )
    yield pool
    await pool.execute("DROP TABLE sums")


def events_of(number: int, numbers: Sequence[int], after: int = 0) -> list[Envelope[Any]]:
    """The events of one aggregate, after a version."""
    return [
        Envelope(
            event_id=uuid4(),
            tenant="demo",
            stream=SUM.stream(number),
            version=version,
            occurred_at=NOON,
            recorded_at=NOON,
            correlation_id=None,
            causation_id=None,
            actor=None,
            traceparent=None,
            event=event,
        )
        for version, event in enumerate(numbers, after + 1)
    ]


async def project(pool: Pool, events: list[Envelope[Any]]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await SUMS.project(connection, events)


async def test_a_row_has_the_state_after_all_events_however_they_are_divided(sums: Pool) -> None:
    await project(sums, [*events_of(1, [5, 6]), *events_of(2, [1])])
    await project(sums, events_of(1, [7], after=2))

    assert await SUMS.find(sums, "demo", 1) == Sum(18)
    assert await SUMS.find(sums, "demo", 3) == Sum()
    rows = await sums.fetch("SELECT number, version, total FROM sums ORDER BY number")
    assert [tuple(row) for row in rows] == [(1, 3, 18), (2, 1, 1)]


async def test_events_that_were_applied_before_change_nothing(sums: Pool) -> None:
    events = events_of(1, [5, 6])
    await project(sums, events)
    await project(sums, events)
    await project(sums, [*events[1:], *events_of(1, [7], after=2)])

    assert await SUMS.find(sums, "demo", 1) == Sum(18)


async def test_a_page_has_the_states_that_match_by_number_and_counts_all(sums: Pool) -> None:
    await project(sums, [one for n in range(1, 6) for one in events_of(n, [n])])
    newest_first = SUMS.table.c.number.desc()
    some = SUMS.table.c.total > 1

    oldest = await SUMS.page(sums, "demo", some, Slice(limit=2, offset=1))
    newest = await SUMS.page(sums, "demo", some, Slice(limit=2, offset=0), newest_first)

    assert oldest == ([Sum(3), Sum(4)], 4)
    assert newest == ([Sum(5), Sum(4)], 4)
