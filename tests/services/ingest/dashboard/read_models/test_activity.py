"""The read models `activity` and `presence`."""

from datetime import date, timedelta
from itertools import product
from random import Random
from typing import Any

from contracts.ingest import IngestEvent
from libs.postgres.pool import Pool
from services.ingest.dashboard.read_models import activity
from services.ingest.dashboard.read_models.activity import Activity, Counts
from services.ingest.scans.domain.day import Days
from services.ingest.scans.read_models import scan_count
from tests.services.ingest.history import (
    NOON,
    SUM_TOTALS,
    TODAY,
    a_filter,
    a_scan,
    audit,
    record,
    removed,
)


async def answer(pool: Pool, days: Days = TODAY, **filters: Any) -> Activity:
    return await activity.read_activity(pool, a_filter(days, **filters))


async def total(pool: Pool, kind: str | None = None, **filters: Any) -> int:
    scan_filter = a_filter(**filters)
    return (await scan_count.window(pool, scan_filter, kind=kind, limit=1, offset=0))[0]


async def test_scans_are_counted_by_operator_and_by_client(pool: Pool) -> None:
    await record(
        pool,
        a_scan(1),
        a_scan(2, operator="boris"),
        a_scan(3, kind="BOX"),
        a_scan(4, kind="CLOSE", client="petrov"),
        a_scan(5, kind="AUTO_CLOSE"),
        a_scan(6, kind="ERROR", client="", box=""),
        a_scan(7, kind="TELEPORT", city="Rostov"),
    )
    await record(pool, a_scan(1), tenant="other")

    counters = await answer(pool)

    assert counters.operators == {
        "anna": Counts(items=1, opens=1, closes=1, auto_closes=1, errors=1),
        "boris": Counts(items=1),
    }
    assert counters.clients == {
        "ivancov": Counts(items=2, opens=1, auto_closes=1),
        "petrov": Counts(closes=1),
        "": Counts(errors=1),
    }
    assert sorted(counters.cities) == ["Novosem", "Rostov"]
    assert (await total(pool), await total(pool, "TELEPORT")) == (7, 1)


async def test_every_combination_of_filters_narrows_the_result(pool: Pool) -> None:
    names = [*product(("anna", ""), ("ivancov", ""), ("Novosem", ""))]
    await record(
        pool, *(a_scan(n, operator=o, client=c, city=t) for n, (o, c, t) in enumerate(names))
    )

    for values in product(("anna", "", None), ("ivancov", "", None), ("Novosem", "", None)):
        filters: dict[str, Any] = dict(zip(("operator", "client", "city"), values, strict=True))
        expected = [
            one
            for one in names
            if all(want in (None, has) for want, has in zip(values, one, strict=True))
        ]
        counters = await answer(pool, **filters)
        assert await total(pool, **filters) == len(expected)
        assert sum(counts.items for counts in counters.clients.values()) == len(expected)
        assert set(counters.operators) == set(counters.last) == {o for o, _, _ in expected}
        assert set(counters.clients) == {c for _, c, _ in expected}
        assert set(counters.cities) == {t for _, _, t in expected}


async def test_a_range_of_days_adds_up_and_others_stay_out(pool: Pool) -> None:
    await record(
        pool,
        *(a_scan(n, scanned_at=NOON - timedelta(days=n)) for n in range(4)),
        a_scan(9, scanned_at=NOON.replace(hour=20, minute=59, second=59)),
        a_scan(10, scanned_at=NOON.replace(hour=21)),
    )

    assert (await answer(pool)).clients["ivancov"].items == 2
    three = Days(first=date(2025, 10, 29), last=date(2025, 10, 31))
    assert (await answer(pool, three)).clients["ivancov"].items == 4


async def test_the_last_scan_is_the_newest_received_then_the_newest_scanned(
    pool: Pool,
) -> None:
    later = NOON + timedelta(seconds=1)
    await record(
        pool,
        a_scan(1, received_at=later, box="ivancov/10", city="Rostov", scanned_at=NOON),
        a_scan(2, received_at=later, box="ivancov/9", scanned_at=NOON - timedelta(hours=1)),
        a_scan(3, received_at=NOON, box="ivancov/8", scanned_at=later),
    )

    last = (await answer(pool)).last["anna"]

    assert (last.client, last.city, last.box) == ("ivancov", "Rostov", "ivancov/10")
    assert last.received_at == later


async def test_a_removed_item_is_subtracted_from_its_counters(pool: Pool) -> None:
    yesterday = a_scan(3, scanned_at=NOON - timedelta(days=1))
    await record(pool, a_scan(1), a_scan(2), yesterday, a_scan(4, kind="BOX"))
    await record(pool, removed(a_scan(1)), removed(yesterday))

    counters = await answer(pool)

    assert counters.clients == {"ivancov": Counts(items=1, opens=1, removed=1)}
    assert counters.removed == 1
    assert (await total(pool), await total(pool, "ITEM")) == (2, 1)


async def test_an_operator_without_scans_is_missing_but_counted_as_removed(pool: Pool) -> None:
    removed_scan = a_scan(1, operator="boris", client="petrov", city="Rostov")
    await record(pool, removed_scan, a_scan(2), removed(removed_scan))

    counters = await answer(pool)

    assert set(counters.operators) == set(counters.last) == {"anna"}
    assert (set(counters.clients), counters.cities) == ({"ivancov"}, ["Novosem"])
    assert counters.removed == 1
    assert await answer(pool, operator="boris") == Activity(
        operators={}, last={}, clients={}, cities=[], removed=1
    )
    assert await total(pool, operator="boris") == 0


async def test_an_audit_counts_on_the_day_of_the_removal(pool: Pool) -> None:
    await record(pool, audit(), audit(removed_at=NOON + timedelta(days=1)))

    assert (await total(pool), await total(pool, "BULK_REMOVE")) == (1, 1)
    assert (await answer(pool)).operators == {"vera": Counts()}
    assert (await answer(pool)).last["vera"].box == "ivancov/8"


async def test_every_change_of_a_row_is_marked_with_its_transaction(pool: Pool) -> None:
    async def marked() -> int:
        counters: int = await pool.fetchval("SELECT changed FROM activity WHERE kind = 'ITEM'")
        return counters

    marks = []
    for event in (a_scan(1), a_scan(2), removed(a_scan(1))):
        await record(pool, event)
        marks.append(await marked())
    await record(pool, a_scan(3, kind="BOX"))

    assert marks[0] < marks[1] < marks[2] == await marked()


async def test_totals_equal_the_sums_of_the_rows_for_any_batches(
    pool: Pool,
) -> None:
    chance = Random(7)
    scans = [
        a_scan(
            n,
            kind=chance.choice(("ITEM", "ITEM", "BOX", "CLOSE")),
            operator=chance.choice(("anna", "boris", "")),
            client=chance.choice(("ivancov", "petrov", "")),
            city=chance.choice(("Novosem", "Rostov")),
            received_at=NOON + timedelta(minutes=chance.randrange(3)),
        )
        for n in range(60)
    ]
    items = [scan for scan in scans if scan.kind == "ITEM"]
    events: list[IngestEvent] = [*scans, *map(removed, chance.sample(items, 9))]
    chance.shuffle(events)
    while events:
        size = chance.randint(1, 12)
        await record(pool, *events[:size])
        del events[:size]

    totals = await pool.fetch("DELETE FROM activity_total RETURNING *")
    await pool.execute(SUM_TOTALS)
    summed = await pool.fetch("TABLE activity_total")
    assert sorted(map(tuple, totals)) == sorted(map(tuple, summed))
    assert len(totals) == 3 + 3 + 2
