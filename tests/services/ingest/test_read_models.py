"""Rules for every read model: its tables depend on the history alone."""

from datetime import timedelta
from functools import partial
from random import Random
from uuid import UUID

from contracts.envelope import Envelope
from contracts.ingest import (
    IngestEvent,
    QuarantineDropped,
    QuarantineMended,
    ScanQuarantined,
)
from libs.postgres.pool import Pool
from libs.testing.read_models import (
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_isolated,
)
from services.ingest.dashboard.read_models.activity import ACTIVITY, TOTAL
from services.ingest.dashboard.read_models.box_tally import BOX
from services.ingest.dashboard.read_models.presence import PRESENCE
from services.ingest.quarantine.read_models import QUARANTINE
from services.ingest.removals.domain import LoggedScan, RemoveItems, decide
from services.ingest.removals.read_models.removal import REMOVAL
from services.ingest.scans.read_models.operator_name import OPERATOR_NAME
from services.ingest.scans.read_models.scan_count import SCAN_COUNT
from services.ingest.scans.read_models.scan_log import SCAN_LOG
from tests.services.ingest.history import (
    NOON,
    TABLES,
    a_scan,
    in_envelope,
    project,
    quarantine_id,
)

WRITTEN = ("changed",)
"""When a row was written is no part of what it says."""


def a_history(random: Random, length: int = 120) -> list[Envelope[IngestEvent]]:
    """Scans with many equal times, so that ties matter; some are quarantined, some removed."""
    history: list[Envelope[IngestEvent]] = []
    for number in range(length):
        scan = a_scan(
            number,
            kind=random.choice(["ITEM", "ITEM", "BOX", "CLOSE", "ERROR"]),
            operator=random.choice(["anna", "anna ", "boris", " boris", ""]),
            client=random.choice(["ivancov", ""]),
            city=random.choice(["Novosem", "Rostov"]),
            box=f"ivancov/{random.randrange(4)}",
            source=random.choice(["pwa", "pwa", "dashboard"]),
            scanned_at=NOON + timedelta(hours=random.randrange(-20, 20)),
            received_at=NOON + timedelta(seconds=random.randrange(3)),
        )
        tenant = random.choice(["demo", "other"])
        events: list[IngestEvent] = [scan]
        if scan.kind == "ITEM" and not random.randrange(3):
            removing = RemoveItems(
                removal_id=UUID(int=number + 10_000),
                kind="REMOVE",
                operator="vera",
                reason="",
                at=scan.effective_at + timedelta(hours=5),
            )
            removal = decide(
                [LoggedScan(scan=scan, recording=scan.scan_id, removed=False)], removing
            )
            assert removal
            events += [*removal.items, removal.audit]
        if not random.randrange(10):
            waiting = quarantine_id(scan.scan_id, tenant)
            given = {"quarantine_id": waiting}
            bad = ScanQuarantined(
                scan_id=scan.scan_id, raw="{}", code="bad_ts", reason="", received_at=NOON
            )
            mended = QuarantineMended(
                **given, scan_id=scan.scan_id, mended_by="vera", mended_at=NOON
            )
            dropped = QuarantineDropped(
                **given, reason="a test", dropped_by="vera", dropped_at=NOON
            )
            decisions: list[list[IngestEvent]] = [[], [mended], [dropped]]
            events += [bad, *random.choice(decisions)]
        history += [in_envelope(one, tenant=tenant) for one in events]
    return history


async def test_read_models_do_not_depend_on_batches_order_or_parallel_partitions(
    pool: Pool,
) -> None:
    histories = [a_history(Random(seed)) for seed in range(12)] + [a_history(Random(1), 400)]

    await assert_history_decides(
        pool, partial(project, pool), histories, TABLES, except_columns=WRITTEN
    )


async def test_another_tenant_sees_nothing(reading_pool: Pool, pool: Pool) -> None:
    await project(pool, a_history(Random(2)))

    await assert_tenants_are_isolated(reading_pool, TABLES)


async def test_the_tables_are_as_the_migrations_made_them(pool: Pool) -> None:
    tables = [
        ACTIVITY,
        TOTAL,
        BOX,
        OPERATOR_NAME,
        PRESENCE,
        SCAN_LOG,
        SCAN_COUNT,
        QUARANTINE,
        REMOVAL,
    ]
    assert sorted(table.name for table in tables) == sorted(TABLES)

    await assert_migrated_as_declared(pool, "ingest", tables)
