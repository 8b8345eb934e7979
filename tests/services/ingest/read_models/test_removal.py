"""Which items were removed, by whom and why?"""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from tests.services.ingest.told import (
    NOON,
    Projector,
    a_scan,
    every_projection,
    in_envelope,
    project,
)

from contracts.ingest import IngestEvent, ItemRemoved, ScanId
from libs.eventsourcing.log import Cause
from libs.eventsourcing.store import EventStore, Fact
from libs.postgres.pool import Pool
from services.ingest.domain.day import Days
from services.ingest.domain.question import Question
from services.ingest.handlers.removal import Order, remove_listed
from services.ingest.read_models import removal

TODAY = Days(first=date(2025, 10, 31), last=date(2025, 10, 31))
TABLES = [table for projection in every_projection() for table in projection.tables]


def removed(number: int, *, minutes: int = 0, by: str = "vera", **scan: Any) -> ItemRemoved:
    return ItemRemoved(
        scan=a_scan(number, **scan),
        removal_id=UUID(int=100 + number),
        removed_at=NOON + timedelta(minutes=minutes),
        removed_by=by,
        reason="брак",
    )


async def numbers(
    pool: Pool, days: Days = TODAY, *, limit: int = 100, offset: int = 0, **filters: Any
) -> list[int]:
    question = Question(tenant="demo", days=days, **filters)
    async with pool.acquire() as connection:
        rows = await removal.page(connection, question, limit=limit, offset=offset)
        assert await removal.count(connection, question) >= len(rows)
    return [UUID(str(row["scan_id"])).int for row in rows]


async def test_removed_items_come_the_latest_removed_first(pool: Pool) -> None:
    events = [removed(1), removed(3, minutes=5), removed(2, minutes=5)]
    await project(pool, [in_envelope(event) for event in events])

    assert await numbers(pool) == [2, 3, 1]
    assert await numbers(pool, limit=1, offset=1) == [3]


async def test_the_day_is_that_of_the_removal_and_the_operator_who_removed(pool: Pool) -> None:
    await project(
        pool,
        [
            in_envelope(removed(1, scanned_at=NOON - timedelta(days=3))),
            in_envelope(removed(2, minutes=24 * 60)),
            in_envelope(removed(3, by="boris", operator="vera")),
            in_envelope(removed(4, client="", city="")),
        ],
    )

    assert await numbers(pool) == [1, 3, 4]
    assert await numbers(pool, operator="boris") == [3]
    assert await numbers(pool, operator="vera", client="ivancov", city="Novosem") == [1]
    assert await numbers(pool, client="") == [4]


async def test_tenants_see_only_their_own(pool: Pool) -> None:
    await project(pool, [in_envelope(removed(1), tenant="other")])

    assert await numbers(pool) == []


async def everything(pool: Pool) -> dict[str, list[Any]]:
    found = {}
    for table in TABLES:
        rows = await pool.fetch(f"SELECT * FROM {table} AS each ORDER BY each")
        found[table] = [tuple(v for name, v in row.items() if name != "changed") for row in rows]
    return found


async def test_a_rebuild_from_the_log_brings_no_removed_item_back(
    pool: Pool, store: EventStore[IngestEvent], projector: Projector
) -> None:
    scans = [in_envelope(a_scan(n)) for n in range(6)]
    facts = [
        Fact(event_id=one.event_id, stream=one.stream, event=one.event, occurred_at=NOON)
        for one in scans
    ]
    cause = Cause(tenant="demo")

    async def remove(*which: int) -> None:
        order = Order(kind="BULK_REMOVE", operator="vera", reason="", at=NOON)
        ids = [ScanId(UUID(int=n)) for n in which]
        assert await remove_listed(store, ids, order=order, cause=cause)

    await store.record(facts[:4], cause=cause)
    await projector.catch_up()
    await remove(0, 3)
    await projector.catch_up()
    await store.record(facts, cause=cause)
    await remove(5)
    await projector.catch_up()
    as_it_happened = await everything(pool)

    for table in TABLES:
        await pool.execute(f"DELETE FROM {table}")
    await Projector(store, pool).catch_up()

    assert await everything(pool) == as_it_happened
    live = await pool.fetchval("SELECT count(*) FROM scan_log WHERE removed_at IS NULL")
    assert live == 3 + 2  # items and audits
