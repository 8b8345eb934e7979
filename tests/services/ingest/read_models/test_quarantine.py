"""What arrived and could not be understood, and what became of it?"""

from datetime import timedelta
from uuid import UUID

from tests.services.ingest.told import NOON, in_envelope, project

from contracts.ingest import (
    IngestEvent,
    QuarantineDropped,
    QuarantineMended,
    ScanId,
    ScanQuarantined,
)
from libs.postgres.pool import Pool
from services.ingest.domain import identity
from services.ingest.read_models import quarantine
from services.ingest.read_models.quarantine import Status, Wanted

ALL = Wanted(tenant="demo", status=None)
OPEN = Wanted(tenant="demo")


def kept(number: int, **changes: str) -> ScanQuarantined:
    told = {"raw": '{"code":"\\u0000"}', "code": "unstorable_text", "reason": "a NUL"}
    return ScanQuarantined(
        scan_id=ScanId(UUID(int=number)),
        received_at=NOON + timedelta(seconds=number),
        **told | changes,
    )


def id_of(number: int) -> UUID:
    return identity.quarantine_event(identity.namespace("demo"), ScanId(UUID(int=number)))


def mended(number: int) -> QuarantineMended:
    return QuarantineMended(
        quarantine_id=id_of(number),
        scan_id=ScanId(UUID(int=number)),
        mended_by="office",
        mended_at=NOON,
    )


def dropped(number: int) -> QuarantineDropped:
    return QuarantineDropped(
        quarantine_id=id_of(number), reason="a test", dropped_by="office", dropped_at=NOON
    )


async def page(pool: Pool, wanted: Wanted, limit: int = 100, offset: int = 0) -> list[int]:
    async with pool.acquire() as connection:
        rows = await quarantine.page(connection, wanted, limit=limit, offset=offset)
    return [UUID(str(row["scan_id"])).int for row in rows]


async def test_what_is_quarantined_is_counted_and_listed_newest_first(pool: Pool) -> None:
    await project(pool, [in_envelope(kept(n)) for n in (1, 2, 3, 2)])
    await project(pool, [in_envelope(kept(3))])

    async with pool.acquire() as connection:
        assert await quarantine.counts(connection, OPEN) == {"unstorable_text": 3}
        assert await quarantine.counts(connection, Wanted(tenant="other")) == {}
        rows = await quarantine.page(connection, OPEN, limit=2, offset=1)

    assert [(UUID(str(row["scan_id"])).int, row["raw"]) for row in rows] == [
        (2, '{"code":"\\u0000"}'),
        (1, '{"code":"\\u0000"}'),
    ]


async def test_what_was_decided_is_no_longer_open(pool: Pool) -> None:
    history: list[IngestEvent] = [kept(1), kept(2), kept(3), mended(1), dropped(2)]
    await project(pool, [in_envelope(event) for event in history])

    assert await page(pool, OPEN) == [3]
    assert await page(pool, Wanted(tenant="demo", status=Status.MENDED)) == [1]
    assert await page(pool, Wanted(tenant="demo", status=Status.DROPPED)) == [2]
    assert await page(pool, ALL) == [3, 2, 1]
    async with pool.acquire() as connection:
        _, lost, right = await quarantine.page(connection, ALL, limit=9, offset=0)
    assert (lost["decision"], lost["decided_by"], lost["decided_at"]) == ("a test", "office", NOON)
    assert (right["mended_as"], right["decision"]) == (UUID(int=1), None)


async def test_a_decision_that_is_heard_of_first_waits_unseen(pool: Pool) -> None:
    await project(pool, [in_envelope(dropped(1))])
    assert await page(pool, ALL) == []

    await project(pool, [in_envelope(kept(1))])

    assert await page(pool, ALL) == [1]
    assert await page(pool, OPEN) == []


async def test_codes_are_filtered_and_counted(pool: Pool) -> None:
    history = [kept(1), kept(2, code="bad_ts"), kept(3, code="bad_ts")]
    await project(pool, [in_envelope(event) for event in history])

    assert await page(pool, Wanted(tenant="demo", code="bad_ts")) == [3, 2]
    async with pool.acquire() as connection:
        counts = await quarantine.counts(connection, OPEN)
    assert list(counts.items()) == [("bad_ts", 2), ("unstorable_text", 1)]


async def test_what_is_open_is_counted_over_all_tenants(pool: Pool) -> None:
    await project(pool, [in_envelope(kept(1)), in_envelope(kept(2)), in_envelope(mended(2))])
    await project(pool, [in_envelope(kept(3), tenant="other"), in_envelope(dropped(9))])

    assert await quarantine.open_by_code(pool) == {"unstorable_text": 2}


async def test_a_list_shows_only_the_beginning_of_a_long_event(pool: Pool) -> None:
    await project(pool, [in_envelope(kept(1, raw="x" * 5000))])

    async with pool.acquire() as connection:
        (row,) = await quarantine.page(connection, OPEN, limit=1, offset=0)

    assert (row["raw"], row["raw_length"]) == ("x" * 1000, 5000)


async def test_ids_go_on_behind_the_last_one(pool: Pool) -> None:
    await project(pool, [in_envelope(kept(n)) for n in range(5)])
    found: list[UUID] = []

    async with pool.acquire() as connection:
        while some := await quarantine.ids(
            connection, OPEN, after=found[-1] if found else None, limit=2
        ):
            found += some

    assert found == sorted(id_of(n) for n in range(5))
