"""What arrived and could not be understood, and what became of it?"""

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


def kept(number: int, *, raw: str = RAW, code: str = "unstorable_text") -> ScanQuarantined:
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


async def page(pool: Pool, wanted: QuarantineFilter) -> list[int]:
    return numbers_of(await quarantine.page(pool, wanted, limit=100, offset=0))


async def test_what_is_quarantined_is_counted_and_listed_newest_first(pool: Pool) -> None:
    await record(pool, *(kept(n) for n in (1, 2, 3, 2)))
    await record(pool, kept(3))

    assert await quarantine.counts(pool, OPEN) == {"unstorable_text": 3}
    assert await quarantine.counts(pool, QuarantineFilter(tenant="other")) == {}
    rows = await quarantine.page(pool, OPEN, limit=2, offset=1)
    assert (numbers_of(rows), {row["raw"] for row in rows}) == ([2, 1], {RAW})


async def test_what_was_decided_is_no_longer_open(pool: Pool) -> None:
    await record(pool, kept(1), kept(2), kept(3), mended(1), dropped(2))

    assert await page(pool, OPEN) == [3]
    assert await page(pool, QuarantineFilter(tenant="demo", status=Status.MENDED)) == [1]
    assert await page(pool, QuarantineFilter(tenant="demo", status=Status.DROPPED)) == [2]
    assert await page(pool, ALL) == [3, 2, 1]
    _, lost, right = await quarantine.page(pool, ALL, limit=9, offset=0)
    assert (lost["decision"], lost["decided_by"], lost["decided_at"]) == ("a test", "office", NOON)
    assert (right["mended_as"], right["decision"]) == (UUID(int=1), None)


async def test_a_decision_that_comes_first_waits_unseen(pool: Pool) -> None:
    await record(pool, dropped(1))
    assert await page(pool, ALL) == []

    await record(pool, kept(1))

    assert (await page(pool, ALL), await page(pool, OPEN)) == ([1], [])


async def test_codes_are_filtered_and_counted(pool: Pool) -> None:
    await record(pool, kept(1), kept(2, code="bad_ts"), kept(3, code="bad_ts"))

    assert await page(pool, QuarantineFilter(tenant="demo", code="bad_ts")) == [3, 2]
    counts = await quarantine.counts(pool, OPEN)
    assert list(counts.items()) == [("bad_ts", 2), ("unstorable_text", 1)]


async def test_a_list_shows_only_the_beginning_of_a_long_event(pool: Pool) -> None:
    await record(pool, kept(1, raw="x" * 5000))

    (row,) = await quarantine.page(pool, OPEN, limit=1, offset=0)

    assert (row["raw"], row["raw_length"]) == ("x" * 1000, 5000)


async def test_ids_go_on_behind_the_last_one(pool: Pool) -> None:
    await record(pool, *(kept(n) for n in range(5)))
    found: list[UUID] = []

    while some := await quarantine.ids(pool, OPEN, after=found[-1] if found else None, limit=2):
        found += some

    assert found == sorted(id_of(n) for n in range(5))
