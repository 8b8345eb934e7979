"""Who is first when several look after the same quarantined event, on a real database."""

import asyncio
from uuid import UUID

from contracts.ingest import (
    EVENTS,
    IngestEvent,
    QuarantineDropped,
    QuarantineMended,
    ScanId,
    ScanRecorded,
)
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.postgres.pool import Pool
from services.ingest.domain.quarantine import AlreadyDecided
from services.ingest.handlers import quarantine
from tests.services.ingest.handlers.test_quarantine import (
    LATER,
    OFFICE,
    Store,
    all_of,
    id_of,
    mend,
    patch,
)
from tests.services.ingest.handlers.test_scan import event, send


async def test_one_of_many_decisions_at_once_wins_and_nothing_else_is_written(pool: Pool) -> None:
    log = PostgresLog(pool)
    store = Store(log, Codec[IngestEvent](EVENTS))
    await send(store, event(1, code=7))

    async def attempt(n: int) -> object:
        try:
            if n % 3 == 0:
                return await quarantine.drop(store, id_of(1), reason="x", cause=OFFICE, now=LATER)
            return await mend(store, 1, patch(code=str(n)))
        except AlreadyDecided as late:
            return late

    outcomes = await asyncio.gather(*(attempt(n) for n in range(30)))
    await log.close()

    decisions = await all_of(store, QuarantineMended | QuarantineDropped)  # type: ignore[arg-type]
    assert len([one for one in outcomes if not isinstance(one, AlreadyDecided)]) == 1
    assert len(decisions) == 1
    assert len(await all_of(store, ScanRecorded)) == isinstance(decisions[0], QuarantineMended)
    assert {o.decision for o in outcomes if isinstance(o, AlreadyDecided)} == set(decisions)


async def test_mending_while_the_device_sends_the_same_scan_stores_it_once(pool: Pool) -> None:
    log = PostgresLog(pool)
    store = Store(log, Codec[IngestEvent](EVENTS))
    numbers = range(1, 21)
    await send(store, *(event(n, code=7) for n in numbers))

    sending = [asyncio.create_task(send(store, event(n, code="7"))) for n in numbers]
    done = await asyncio.gather(*(mend(store, n, patch(code="7")) for n in numbers))
    await asyncio.gather(*sending)
    await log.close()

    assert {one.scan_id for one in done} == {ScanId(UUID(int=n, version=4)) for n in numbers}
    assert len(await all_of(store, ScanRecorded)) == 20
    assert len(await all_of(store, QuarantineMended)) == 20
