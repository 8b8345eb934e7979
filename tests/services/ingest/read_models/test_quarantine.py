"""What arrived and could not be understood?"""

from datetime import timedelta
from uuid import UUID

from contracts.ingest import ScanId, ScanQuarantined
from libs.postgres.pool import Pool
from services.ingest.read_models import quarantine
from tests.services.ingest.told import NOON, in_envelope, project


def kept(number: int) -> ScanQuarantined:
    return ScanQuarantined(
        scan_id=ScanId(UUID(int=number)),
        raw='{"code":"\\u0000"}',
        code="unstorable_text",
        reason="code contains a NUL character",
        received_at=NOON + timedelta(seconds=number),
    )


async def test_what_is_quarantined_is_counted_and_listed_newest_first(pool: Pool) -> None:
    await project(pool, [in_envelope(kept(n)) for n in (1, 2, 3, 2)])
    await project(pool, [in_envelope(kept(3))])

    async with pool.acquire() as connection:
        assert await quarantine.count(connection, "demo") == 3
        assert await quarantine.count(connection, "other") == 0
        rows = await quarantine.page(connection, "demo", limit=2, offset=1)

    assert [(UUID(str(row["scan_id"])).int, row["raw"]) for row in rows] == [
        (2, '{"code":"\\u0000"}'),
        (1, '{"code":"\\u0000"}'),
    ]
