"""The read model `box`: contents and status of boxes."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import product
from random import Random
from typing import Any

import pytest

from contracts.ingest import IngestEvent, ScanRecorded
from libs.postgres import query
from libs.postgres.pool import Pool
from services.ingest.dashboard.read_models import box
from services.ingest.dashboard.read_models.box import BoxOnDay, Total
from services.ingest.scans.domain.day import Days
from services.ingest.scans.domain.filter import ScanFilter
from tests.services.ingest import folded
from tests.services.ingest.history import (
    NOON,
    TODAY,
    ZONE,
    a_filter,
    a_scan,
    fill,
    from_a_clock_ahead,
    record,
    removed,
)

DAY = TODAY.first


async def test_a_truncated_list_of_items_has_its_full_count(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record(pool, *(a_scan(n, box=f"ivancov/{n % 2}") for n in range(20)))
    monkeypatch.setattr(box, "MAX_ITEMS", 12)

    for most, listed in ((0, [0, 0]), (3, [3, 3]), (100, [10, 2])):
        page = await box.read_boxes(pool, a_filter(), limit=1000, items=most)
        assert [len(one.items) for one in page.boxes] == listed
        assert [one.tally.items for one in page.boxes] == [10, 10]


QUESTIONS = [
    a_filter(days, operator=operator, client=client, city=city)
    for days, operator, client, city in product(
        (
            TODAY,
            Days(first=date(2025, 11, 3), last=date(2025, 11, 3)),
            Days(first=date(2025, 11, 2), last=date(2025, 11, 5)),
        ),
        (None, "anna", ""),
        (None, "petrov", ""),
        (None, "Novosem", ""),
    )
]


def a_week(random: Random) -> tuple[list[ScanRecorded], set[ScanRecorded]]:
    """Scans of few labels with many equal times, around midnight and over days."""
    scans = [
        a_scan(
            n,
            kind=random.choice(["ITEM", "ITEM", "BOX", "CLOSE", "AUTO_CLOSE", "ERROR", "REMOVE"]),
            operator=random.choice(["anna", "boris", ""]),
            client=random.choice(["ivancov", "petrov", ""]),
            city=random.choice(["Novosem", ""]),
            box=random.choice(["ivancov/8", "ivancov/10", "a/b/7", "9", ""]),
            scanned_at=NOON
            + timedelta(days=random.randrange(8), hours=random.choice((-12, -3, 0, 11))),
            received_at=NOON + timedelta(days=9, seconds=random.randrange(2)),
        )
        for n in range(random.choice([60, 400]))
    ]
    items = [scan for scan in scans if scan.kind == "ITEM"]
    return scans, set(random.sample(items, len(items) // 4))


def as_folded(page: Sequence[BoxOnDay]) -> list[dict[str, Any]]:
    same = ("client", "city", "label", "day", "operators", "status", "continued")
    return [
        {
            **{name: getattr(one, name) for name in same},
            "count": one.tally.items,
            "first_at": one.tally.first_at,
            "last_at": one.tally.last_at,
            "items": [row["scan_id"] for row in one.items],
        }
        for one in page
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_every_query_gives_the_result_of_folding_every_event(pool: Pool, seed: int) -> None:
    random = Random(seed)
    scans, removed_items = a_week(random)
    events: list[IngestEvent] = [*scans, *map(removed, removed_items)]
    random.shuffle(events)
    while events:
        size = random.randrange(1, 60)
        await record(pool, *events[:size])
        events = events[size:]
    about_boxes = [scan for scan in scans if scan.kind != "REMOVE"]

    brought_along = 0
    for scan_filter in QUESTIONS:
        expected = folded.boxes(about_boxes, removed_items, scan_filter, ZONE)
        pages = [
            await box.read_boxes(pool, scan_filter, limit=9, offset=offset, items=100)
            for offset in range(0, len(expected) + 9, 9)
        ]
        page = [one for page in pages for one in page.boxes]
        assert as_folded(page) == expected, scan_filter
        total = Total(sum(one["count"] for one in expected), len(expected))
        assert {page.total() for page in pages} == {total}
        brought_along += sum(one.continued for one in page)
    assert brought_along


@pytest.mark.parametrize("seed", range(4))
async def test_boxes_have_the_status_of_their_devices_with_any_clock(pool: Pool, seed: int) -> None:
    random, boxes = Random(seed), dict[str, bool]()
    for operator, seconds in (("anna", 600), ("boris", 0), ("vera", 90), ("gleb", 8000)):
        scans, held_open = from_a_clock_ahead(random, operator, seconds=seconds)
        boxes |= held_open
        for n in range(0, len(scans), 20):
            await record(pool, *scans[n : n + 20])

    # A clock put right while a box was open, and another operator with the same device.
    late, shift = NOON + timedelta(minutes=9), {"received_at": NOON, "effective_at": NOON}
    ahead = {"scanned_at": NOON + timedelta(hours=1), "skewed": True}
    later = {"scanned_at": NOON + timedelta(hours=2), "skewed": True}
    await record(
        pool,
        a_scan(9, kind="BOX", client="x", box="put right", **shift | ahead),
        a_scan(8, kind="CLOSE", client="x", box="put right", scanned_at=late, received_at=late),
        a_scan(7, kind="BOX", client="x", box="taken over", **shift | ahead),
        a_scan(6, kind="CLOSE", client="x", box="taken over", operator="gleb", **shift | later),
    )
    boxes |= {"put right": False, "taken over": False}

    page = await box.read_boxes(pool, a_filter(), limit=1000)

    assert {one.label: one.status.is_open for one in page.boxes} == boxes


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("anna", "boris", "is_open"),
    [
        ({"kind": "BOX", "effective_at": at(5)}, {"kind": "CLOSE"}, False),
        ({"kind": "CLOSE", "effective_at": at(5)}, {"kind": "BOX"}, True),
        ({"kind": "CLOSE", "effective_at": at(15)}, {"kind": "BOX"}, False),
        ({"kind": "BOX", "effective_at": at(15)}, {"kind": "CLOSE"}, True),
    ],
    ids=["opened before", "closed before", "closed behind", "opened behind"],
)
async def test_transitions_of_two_operators_are_ordered_by_effective_time(
    pool: Pool, anna: dict[str, Any], boris: dict[str, Any], is_open: bool
) -> None:
    ahead = {"operator": "anna", "scanned_at": at(600), "skewed": True, **anna}
    on_time = {"operator": "boris", "scanned_at": at(10), **boris}
    await record(pool, a_scan(1, **ahead), a_scan(2, **on_time))

    (only,) = (await box.read_boxes(pool, a_filter(), limit=9)).boxes
    assert only.status.is_open == is_open


BOXES = """
INSERT INTO box (tenant, day, client, city, box, operator, number_key, items, first_at, last_at,
    opened_at, first_turn)
SELECT 'tenant-' || n % 2, date '2025-10-01' + n / 2000, 'client-' || n % 20,
    'city-' || n / 20 % 5, 'client-' || n % 20 || '/' || n, 'operator-' || n % 7, '0013', 4,
    at, at, at, repeat(to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US '), 3)
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
FIRST_BOXES: dict[str, list[Any]] = {
    "client": [f"client-{n % 20}" for n in range(60_000, 60_500, 2)],
    "city": [f"city-{n // 20 % 5}" for n in range(60_000, 60_500, 2)],
    "box": [f"client-{n % 20}/{n}" for n in range(60_000, 60_500, 2)],
    "day": [DAY] * 250,
}


async def test_queries_for_boxes_use_indexes_and_a_full_day_is_complete(
    pool: Pool, database: str
) -> None:
    await fill(database, BOXES, ITEMS, "ANALYZE box, scan_log")

    async def plan(statement: Any, **params: Any) -> str:
        sql, values = query.compiled(statement, params)
        rows = await pool.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {sql}", *values)
        return "\n".join(row[0] for row in rows)

    slices = {"client": ["client-0"], "city": ["city-0"], "skip": [0], "take": [500]}
    scan_filter = a_filter(tenant="tenant-0")
    one_client = ScanFilter(tenant="tenant-0", days=TODAY, client="client-0")
    near = box.tallies_query("tenant-0", range(-7, 0))
    plans = {
        "totals": await plan(box.totals_query(scan_filter), days=[DAY]),
        "client": await plan(box.totals_query(one_client), days=[DAY]),
        "page": await plan(box.page_query(scan_filter), days=[DAY], **slices),
        "near": await plan(near, **FIRST_BOXES),
        "items": await plan(box.contents_query(scan_filter), take=[200] * 250, **FIRST_BOXES),
    }
    for name, lines in plans.items():
        # Spellings of names are few: whole they are as soon read.
        assert not re.search("Seq Scan on (box|scan_log)", lines), f"{name}: {lines}"
        index = "scan_log_in_box" if name == "items" else "box_pkey"
        assert index in lines, f"{name}: {lines}"
        # The client is found by the index, and not among all boxes of the day.
        assert name == "totals" or "Index Cond" in lines
    assert "client = " in plans["client"].partition("Index Cond")[2].partition("\n")[0]

    page = await box.read_boxes(pool, scan_filter, limit=5000, items=1000)
    assert (page.total().boxes, len(page.boxes)) == (1000, 1000)
    assert sum(len(one.items) for one in page.boxes) == 4000
    noon = datetime(2025, 10, 31, 12, tzinfo=UTC)
    assert {one.status.opened_at for one in page.boxes} == {noon}
    assert {one.tally.last_at - noon for one in page.boxes} == {timedelta()}
