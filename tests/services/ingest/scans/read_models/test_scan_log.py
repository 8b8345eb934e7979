"""Pages of `scan_log`."""

from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from libs.postgres.pool import Pool
from services.ingest.scans.domain.day import Days, day_of
from services.ingest.scans.read_models import scan_count, scan_log
from tests.services.ingest.history import (
    NOON,
    TODAY,
    WEEK,
    ZONE,
    a_filter,
    a_scan,
    audit,
    numbers_of,
    record,
    removed,
)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


async def ids(
    pool: Pool,
    days: Days = TODAY,
    *,
    kind: str | None = None,
    limit: int = 1000,
    offset: int = 0,
    **filters: Any,
) -> list[int]:
    scan_filter = a_filter(days, **filters)
    _, within = await scan_count.window(pool, scan_filter, kind=kind, limit=limit, offset=offset)
    if within is None:
        return []
    return numbers_of(await scan_log.page(pool, scan_filter, kind=kind, limit=limit, within=within))


async def test_pages_are_ordered_by_receive_time_scan_time_and_id(pool: Pool) -> None:
    scanned = [NOON - timedelta(days=n // 2 % 7) for n in range(50)]
    received = [NOON + n // 6 * SECOND for n in range(50)]
    await record(
        pool, *(a_scan(n, scanned_at=scanned[n], received_at=received[n]) for n in range(50))
    )

    everything = await ids(pool, WEEK)
    pages = [await ids(pool, WEEK, limit=7, offset=offset) for offset in range(0, 56, 7)]

    newest = sorted(range(50), key=lambda n: (received[n], scanned[n], -n), reverse=True)
    assert everything == [n for page in pages for n in page] == newest


@pytest.mark.parametrize("seed", range(4))
async def test_any_page_is_a_slice_of_all_rows_in_any_order_of_arrival(
    pool: Pool, seed: int
) -> None:
    random = Random(seed)
    scans = [
        a_scan(
            n,
            kind=random.choice(["ITEM", "ITEM", "ERROR"]),
            operator=random.choice(["anna", "boris"]),
            city=random.choice(["", "Rostov"]),
            scanned_at=NOON - timedelta(hours=random.randrange(140)),
            # Seconds, minutes and hours apart: many in one minute, and in one hour.
            received_at=NOON + random.randrange(40) * random.choice([SECOND, MINUTE, HOUR]),
        )
        for n in range(300)
    ]
    removed_scans = [one for one in scans if one.kind == "ITEM" and not random.randrange(5)]
    events: list[Any] = [*scans, *map(removed, removed_scans)]
    random.shuffle(events)
    for n in range(0, len(events), 50):
        await record(pool, *events[n : n + 50])

    live = [one for one in scans if one not in removed_scans]
    for _ in range(20):
        kind, operator = random.choice([None, "ITEM", "ERROR"]), random.choice([None, "boris"])
        matching = [
            one
            for one in live
            if kind in (None, one.kind)
            and operator in (None, one.operator)
            and WEEK.first <= day_of(one.effective_at, ZONE) <= WEEK.last
        ]
        newest = sorted(
            matching,
            key=lambda one: (one.received_at, one.scanned_at, -one.scan_id.int),
            reverse=True,
        )
        offset, limit = random.randrange(len(matching) + 5), random.choice([1, 7, 60, 1000])
        page = await ids(pool, WEEK, kind=kind, limit=limit, offset=offset, operator=operator)
        assert page == [one.scan_id.int for one in newest[offset : offset + limit]]


async def test_filters_and_kinds_narrow_the_rows(pool: Pool) -> None:
    await record(
        pool, a_scan(1), a_scan(2, kind="ERROR"), a_scan(3, operator=""), a_scan(4, city="Rostov")
    )
    await record(pool, a_scan(5), tenant="other")

    cases: list[tuple[str | None, dict[str, Any], list[int]]] = [
        (None, {}, [1, 2, 3, 4]),
        ("ERROR", {}, [2]),
        (None, {"operator": ""}, [3]),
        (None, {"operator": "anna", "client": "ivancov", "city": "Rostov"}, [4]),
    ]
    for kind, filters, expected in cases:
        assert sorted(await ids(pool, kind=kind, **filters)) == expected, filters


async def test_a_scan_is_one_row_and_a_removed_one_is_hidden_in_any_order(pool: Pool) -> None:
    scans = [a_scan(n) for n in range(1, 7)]
    one, two, three, four, *_ = scans
    await record(pool, one, removed(one), removed(two), two, removed(three), four)
    await record(pool, three, one, *scans[4:], *scans[4:])
    await record(pool, removed(four))
    await record(pool, four, scans[4])
    # Removed once more, as after an import that was undone: it was gone already.
    await record(pool, removed(four, removal_id=UUID(int=901)))

    assert await ids(pool) == [5, 6]
    assert await pool.fetchval("SELECT sum(count) FROM scan_count WHERE minutes = 60") == 2
    removed_rows = "SELECT count(*) FROM scan_log WHERE removed_at = $1"
    assert await pool.fetchval(removed_rows, NOON) == 4


async def test_an_audit_is_a_row_that_cannot_be_removed(pool: Pool) -> None:
    # A device that knows the audit's id cannot hide it behind an item of its own.
    twin = a_scan(900)
    await record(pool, audit(kind="REMOVE", code="777", reason="брак"), twin, removed(twin))
    await record(pool, removed(twin))

    (row,) = await scan_log.page(pool, a_filter(), kind="REMOVE", limit=10)
    assert (row["operator"], row["box"], row["code"]) == ("vera", "ivancov/8", "777")
    assert (row["source"], row["details"]) == ("dashboard", "брак")
    assert {row["scanned_at"], row["received_at"], row["effective_at"]} == {NOON}
