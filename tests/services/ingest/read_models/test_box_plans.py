"""What is asked of boxes reads by index what it shows, and no table from end to end."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from libs.postgres import query
from libs.postgres.pool import Pool
from services.ingest.domain.day import Days
from services.ingest.domain.question import Question
from services.ingest.read_models import box, box_queries

BOXES = """
INSERT INTO box (tenant, day, client, city, box, operator, number_key, items, first_at, last_at,
    opened_at, first_turn)
SELECT 'tenant-' || n % 2, date '2025-10-01' + n / 2000, 'client-' || n % 20,
    'city-' || n / 20 % 5, 'client-' || n % 20 || '/' || n, 'operator-' || n % 7, '0013', 4,
    at, at, at, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US') || ' 2025-10-01T00:00:00.000000 '
        || '00000000-0000-0000-0000-000000000000 BOX'
FROM generate_series(0, 119999) AS n, LATERAL (
    SELECT (date '2025-10-01' + n / 2000) + interval '12 hours' AS at) AS noon
"""
ITEMS = """
INSERT INTO scan_log (tenant, day, scan_id, kind, operator, client, city, box, code, source,
    scanned_at, received_at, effective_at, skewed)
SELECT tenant, day, gen_random_uuid(), 'ITEM', operator, client, city, box, 'x', 'pwa',
    first_at, first_at, first_at, false
FROM box, generate_series(1, 4) WHERE day BETWEEN date '2025-10-10' AND date '2025-11-03'
"""
DAY = date(2025, 10, 31)
QUESTION = Question(tenant="tenant-0", days=Days(first=DAY, last=DAY))
FIRST_BOXES: dict[str, list[Any]] = {
    "client": [f"client-{n % 20}" for n in range(60_000, 60_500, 2)],
    "city": [f"city-{n // 20 % 5}" for n in range(60_000, 60_500, 2)],
    "box": [f"client-{n % 20}/{n}" for n in range(60_000, 60_500, 2)],
}


async def plan(connection: Any, statement: Any, **params: Any) -> str:
    sql, values = query.compiled(statement, params)
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {sql}", *values)
    return "\n".join(row[0] for row in rows)


async def test_the_queries_of_an_answer_go_by_index(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute(BOXES)
        await connection.execute(ITEMS)
        await connection.execute("ANALYZE box, scan_log")
        days = [DAY]
        cuts = {"client": ["client-0"], "city": ["city-0"], "skip": [0], "take": [500]}
        one_client = Question(tenant="tenant-0", days=QUESTION.days, client="client-0")
        boxes = {**FIRST_BOXES, "day": [DAY] * 250}
        plans = {
            "totals": await plan(connection, box_queries.totals(QUESTION), days=days),
            "client": await plan(connection, box_queries.totals(one_client), days=days),
            "page": await plan(connection, box_queries.page(QUESTION), days=days, **cuts),
            "near": await plan(connection, box_queries.days_of("tenant-0", range(-7, 0)), **boxes),
            "items": await plan(
                connection, box_queries.contents(QUESTION), take=[200] * 250, **boxes
            ),
        }

    for name, lines in plans.items():
        assert "Seq Scan" not in lines, f"{name}: {lines}"
        index = "scan_log_in_box" if name == "items" else "box_pkey"
        assert index in lines, f"{name}: {lines}"
        # The client is found by the index, and not among all boxes of the day.
        assert name == "totals" or "Index Cond" in lines
    assert "client = " in plans["client"].partition("Index Cond")[2].partition("\n")[0]


async def test_an_answer_of_a_full_day_is_complete(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute(BOXES)
        await connection.execute(ITEMS)
        found = await box.answer(connection, QUESTION, limit=5000, items=1000)

    assert (found.total().boxes, len(found.boxes)) == (1000, 1000)
    assert sum(len(one.items) for one in found.boxes) == 4000
    noon = datetime(2025, 10, 31, 12, tzinfo=UTC)
    assert {one.standing.opened_at for one in found.boxes} == {noon}
    assert {one.tally.last_at - noon for one in found.boxes} == {timedelta()}
