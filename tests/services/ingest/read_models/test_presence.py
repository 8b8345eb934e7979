"""When was each operator heard of last?"""

from datetime import timedelta

from tests.services.ingest.told import NOON, a_scan, in_envelope, project

from libs.postgres.pool import Pool
from services.ingest.read_models import presence


async def test_the_latest_receive_time_counts_whatever_day_was_scanned(pool: Pool) -> None:
    later = NOON + timedelta(minutes=5)
    await project(
        pool,
        [
            in_envelope(a_scan(1, received_at=later, scanned_at=NOON - timedelta(days=3))),
            in_envelope(a_scan(2, received_at=NOON)),
        ],
    )
    await project(pool, [in_envelope(a_scan(3, received_at=NOON + timedelta(minutes=1)))])

    async with pool.acquire() as connection:
        seen = await presence.last_seen(connection, "demo", ["anna", "nobody"])

    assert seen == {"anna": later}


async def test_what_a_dashboard_does_in_somebodys_name_does_not_count(pool: Pool) -> None:
    await project(pool, [in_envelope(a_scan(1, source="dashboard"))])

    async with pool.acquire() as connection:
        assert await presence.last_seen(connection, "demo", ["anna"]) == {}
