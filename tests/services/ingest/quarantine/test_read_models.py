"""The read model `quarantine`."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from contracts.ingest import QuarantineDropped, QuarantineMended, ScanId, ScanQuarantined
from libs.postgres.pool import Pool
from services.ingest.quarantine import read_models as quarantine
from services.ingest.quarantine.read_models import QuarantineFilter, Status
from tests.services.ingest.history import NOON, numbers_of, quarantine_id, record

ALL = QuarantineFilter(tenant="demo", status=None)
OPEN = QuarantineFilter(tenant="demo")
RAW = '{"code":"\\u0000"}'


def quarantined(number: int, *, raw: str = RAW, code: str = "unstorable_text") -> ScanQuarantined:
    at = NOON + timedelta(seconds=number)
    scan_id = ScanId(UUID(int=number))
    return ScanQuarantined(scan_id=scan_id, received_at=at, raw=raw, code=code, reason="a NUL")


def id_of(number: int) -> UUID:
    return quarantine_id(UUID(int=number))


def mended(number: int) -> QuarantineMended:
    given: dict[str, Any] = {"quarantine_id": id_of(number), "scan_id": UUID(int=number)}
    return QuarantineMended(**given, mended_by="office", mended_at=NOON)


def dropped(number: int) -> QuarantineDropped:
    given: dict[str, Any] = {"quarantine_id": id_of(number), "reason": "a test"}
    return QuarantineDropped(**given, dropped_by="office", dropped_at=NOON)


async def page(pool: Pool, filters: QuarantineFilter) -> list[int]:
    return numbers_of(await quarantine.page(pool, filters, limit=100, offset=0))


async def test_quarantined_events_are_counted_and_listed_newest_first(pool: Pool) -> None:
    await record(pool, *(quarantined(n) for n in (1, 2, 3, 2)))
    await record(pool, quarantined(3))

    assert await quarantine.counts(pool, OPEN) == {"unstorable_text": 3}
    assert await quarantine.counts(pool, QuarantineFilter(tenant="other")) == {}
    rows = await quarantine.page(pool, OPEN, limit=2, offset=1)
    assert (numbers_of(rows), {row["raw"] for row in rows}) == ([2, 1], {RAW})


async def test_a_decided_event_is_not_open(pool: Pool) -> None:
    await record(pool, quarantined(1), quarantined(2), quarantined(3), mended(1), dropped(2))

    assert await page(pool, OPEN) == [3]
    assert await page(pool, QuarantineFilter(tenant="demo", status=Status.MENDED)) == [1]
    assert await page(pool, QuarantineFilter(tenant="demo", status=Status.DROPPED)) == [2]
    assert await page(pool, ALL) == [3, 2, 1]
    _, lost, right = await quarantine.page(pool, ALL, limit=9, offset=0)
    assert (lost["decision"], lost["decided_by"], lost["decided_at"]) == ("a test", "office", NOON)
    assert (right["mended_as"], right["decision"]) == (UUID(int=1), None)


async def test_a_decision_that_arrives_before_its_event_is_hidden(pool: Pool) -> None:
    await record(pool, dropped(1))
    assert await page(pool, ALL) == []

    await record(pool, quarantined(1))

    assert (await page(pool, ALL), await page(pool, OPEN)) == ([1], [])


async def test_codes_are_filtered_and_counted(pool: Pool) -> None:
    await record(pool, quarantined(1), quarantined(2, code="bad_ts"), quarantined(3, code="bad_ts"))

    assert await page(pool, QuarantineFilter(tenant="demo", code="bad_ts")) == [3, 2]
    counts = await quarantine.counts(pool, OPEN)
    assert list(counts.items()) == [("bad_ts", 2), ("unstorable_text", 1)]


async def test_a_list_truncates_a_long_event(pool: Pool) -> None:
    await record(pool, quarantined(1, raw="x" * 5000))

    (row,) = await quarantine.page(pool, OPEN, limit=1, offset=0)

    assert (row["raw"], row["raw_length"]) == ("x" * 1000, 5000)


async def test_ids_continue_after_the_last_one(pool: Pool) -> None:
    await record(pool, *(quarantined(n) for n in range(5)))
    result: list[UUID] = []

    while page_ids := await quarantine.ids(
        pool, OPEN, after=result[-1] if result else None, limit=2
    ):
        result += page_ids

    assert result == sorted(id_of(n) for n in range(5))
