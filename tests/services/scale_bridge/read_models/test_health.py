"""Which scales need looking after (SCL-9, SCL-15)."""

from datetime import datetime

from libs.postgres.pool import Pool
from services.scale_bridge.domain.healing import Rules, remedy
from services.scale_bridge.domain.operation_commands import Kind
from services.scale_bridge.domain.shown import shown_by_plu
from services.scale_bridge.read_models import health
from services.scale_bridge.read_models.health import Patient
from tests.services.scale_bridge.twin import (
    Told,
    catalogue,
    minute,
    product,
    project,
    store_content,
)

BASE = catalogue(product(1), product(2))
LATER = minute(30)


async def patients(pool: Pool, now: datetime = LATER) -> list[Patient]:
    async with pool.acquire() as connection:
        return list(await health.quiet(connection, now))


async def needed(pool: Pool, now: datetime = LATER) -> Kind | None:
    (patient,) = await patients(pool, now)
    return remedy(patient.health, now, Rules())


async def synced(pool: Pool) -> Told:
    tell = Told()
    tell.registered()
    tell.fetched(1, await store_content(pool, BASE))
    tell.done(1, "fetch", "done", at=0)
    tell.shown(0, {plu: dict(shown) for plu, shown in shown_by_plu(BASE).items()})
    return tell


async def test_who_shows_what_it_shall_needs_nothing(pool: Pool) -> None:
    await project(pool, (await synced(pool)).events)
    assert await needed(pool) is None
    assert await needed(pool, minute(180)) is Kind.VERIFY


async def test_with_whom_something_is_being_done_is_left_alone(pool: Pool) -> None:
    tell = await synced(pool)
    tell.queued(2, at=29)
    await project(pool, tell.events)
    assert await patients(pool) == []
    assert len(await patients(pool, minute(60))) == 1


async def test_a_failed_upload_is_made_up_for(pool: Pool) -> None:
    """SCL-9: first it is asked whether it is back, then it gets all it missed at once."""
    tell = await synced(pool)
    tell.edited(2, 1, price=1.5)
    tell.done(2, "upload", "failed", "Unreachable", at=5)
    await project(pool, tell.events)
    assert await needed(pool) is Kind.PROBE

    tell.events.clear()
    tell.done(3, "probe", "done", at=10, by="heal")
    await project(pool, tell.events)
    assert await needed(pool) is Kind.UPLOAD

    tell.events.clear()
    tell.done(4, "upload", "verified", at=12, by="heal")
    tell.confirmed(2)
    await project(pool, tell.events)
    assert await needed(pool) is None


async def test_what_somebody_edits_at_the_desk_is_not_sent_behind_their_back(pool: Pool) -> None:
    tell = await synced(pool)
    tell.edited(2, 1, price=1.5)
    await project(pool, tell.events)
    assert await needed(pool) is None


async def test_a_price_nobody_sent_is_sent(pool: Pool) -> None:
    """Its own upload may have begun just before it."""
    tell = await synced(pool)
    tell.edited(2, 1, price=1.5, source="price")
    await project(pool, tell.events)
    assert await needed(pool) is Kind.UPLOAD


async def test_what_a_verify_found_changed_is_corrected(pool: Pool) -> None:
    """SCL-15."""
    tell = await synced(pool)
    tell.done(2, "verify", "failed", "NotShown", at=5)
    tell.doubted(1, by=2)
    await project(pool, tell.events)
    assert await needed(pool) is Kind.UPLOAD


async def test_who_was_without_power_is_read(pool: Pool) -> None:
    tell = await synced(pool)
    tell.done(2, "probe", "failed", "Unreachable", at=5, by="heal")
    tell.done(3, "probe", "done", at=10, by="heal")
    await project(pool, tell.events)
    assert await needed(pool) is Kind.VERIFY


async def test_who_was_removed_needs_nothing_any_more(pool: Pool) -> None:
    tell = await synced(pool)
    tell.removed()
    await project(pool, tell.events)
    assert await patients(pool) == []


async def test_failures_count_since_it_last_showed_what_it_shall(pool: Pool) -> None:
    tell = await synced(pool)
    tell.edited(2, 1, price=1.5)
    for number in range(2, 6):
        tell.done(number, "upload", "failed", "NotShown", at=number)
    tell.done(9, "upload", "failed", "Busy", at=7)
    await project(pool, tell.events)
    (patient,) = await patients(pool)
    assert (patient.health.failures, patient.health.ended_at) == (4, minute(7))
    assert (patient.ip, patient.port, patient.tenant) == ("10.0.0.17", 1111, "demo")
