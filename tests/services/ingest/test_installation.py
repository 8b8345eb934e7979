"""Read models, parked scans and the log of before the renames are gone on with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.ingest import EVENTS, IngestEvent
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import envelope
from libs.postgres.pool import Pool
from libs.projections import parking
from libs.projections.consistency import Consistency
from libs.projections.runner import ProjectionRunner
from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.pools import system_pool
from libs.testing.read_models import apply, clear, rows_of
from tests.libs.messaging.lab import running
from tests.services.ingest.history import PROJECTIONS, TABLES, Store, a_scan, append
from tests.services.ingest.test_read_models import WRITTEN
from tests.services.installation import restore

NAMES = [model.name for model in PROJECTIONS]


@pytest.fixture
async def old_pool(empty_database: str, tmp_path: Path) -> AsyncIterator[Pool]:
    """Into the old database."""
    await restore("ingest", empty_database, tmp_path)
    async with system_pool(empty_database, "ingest", size=4) as opened:
        yield opened


async def test_parked_scans_are_retried_and_new_ones_follow(old_pool: Pool) -> None:
    [parked] = await parking.list_parked(old_pool)
    assert (parked.projection, parked.pending_events) == ("scan_log", 3)
    [model] = [one for one in PROJECTIONS if one.name == parked.projection]
    log = PostgresLog(old_pool)
    store: Store = Store(log, Codec[IngestEvent](EVENTS))

    async with running(ProjectionRunner(old_pool, PROJECTIONS, service="ingest")):
        assert await parking.retry(old_pool, model, (parked.tenant, parked.stream)) == 3
        await append(store, a_scan(1), tenant="demo")
        consistency = Consistency(old_pool, NAMES, deadline=PATIENCE_SECONDS)
        for name in NAMES:
            assert await consistency.caught_up(name, "demo")

    rows = await rows_of(old_pool, TABLES, except_columns=WRITTEN)
    await clear(old_pool, TABLES)
    events = [one async for page in store.log.read_all() for one in page]
    decoded = [envelope(one, store.decode(one)) for one in events]
    await apply(old_pool, "ingest", PROJECTIONS, decoded)
    assert rows == await rows_of(old_pool, TABLES, except_columns=WRITTEN)
    assert len(rows["scan_log"]) == 31
    await log.close()
