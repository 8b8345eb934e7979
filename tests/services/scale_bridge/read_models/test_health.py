"""Which scales need a remedy, and which (SCL-9, SCL-15)."""

from datetime import datetime

import pytest

from libs.postgres.pool import Pool
from services.scale_bridge.domain.healing import Rules, remedy
from services.scale_bridge.domain.operation_commands import Kind
from services.scale_bridge.read_models import health
from services.scale_bridge.read_models.health import Patient
from tests.services.scale_bridge.histories import History, catalogue, minute, product

BASE = catalogue(product(1), product(2))
LATER = minute(30)


async def patients(pool: Pool, now: datetime = LATER) -> list[Patient]:
    async with pool.acquire() as connection:
        return list(await health.quiet(connection, now))


async def needed(pool: Pool, history: History, now: datetime = LATER) -> Kind | None:
    """What the one scale needs after what happened since the last time."""
    await history.project(pool)
    (patient,) = await patients(pool, now)
    return remedy(patient.health, now, Rules())


async def a_history(pool: Pool, *, edit: str = "") -> History:
    """A scale that shows what it shall; with a price edited since by the source, if any."""
    history = History()
    await history.synced(pool, BASE)
    if edit:
        history.edited(2, 1, price=1.5, source=edit)
    return history


async def test_a_scale_that_shows_what_it_shall_needs_nothing(pool: Pool) -> None:
    history = await a_history(pool)
    assert await needed(pool, history) is None
    assert await needed(pool, history, minute(180)) is Kind.VERIFY


async def test_a_scale_with_an_operation_under_way_or_removed_is_left_alone(pool: Pool) -> None:
    history = await a_history(pool)
    history.queued(2, at=29)
    await history.project(pool)
    assert await patients(pool) == []
    assert len(await patients(pool, minute(60))) == 1

    history.removed()
    await history.project(pool)
    assert await patients(pool, minute(60)) == []


async def test_a_failed_upload_is_made_up_for(pool: Pool) -> None:
    """SCL-9: first it is asked whether it is back, then it gets all it missed at once."""
    history = await a_history(pool, edit="person")
    history.done(2, "upload", "failed", "Unreachable", at=5)
    assert await needed(pool, history) is Kind.PROBE

    history.done(3, "probe", "done", at=10, by="heal")
    assert await needed(pool, history) is Kind.UPLOAD

    history.done(4, "upload", "verified", at=12, by="heal")
    history.confirmed(2)
    assert await needed(pool, history) is None


@pytest.mark.parametrize(("source", "remedied"), [("person", None), ("price", Kind.UPLOAD)])
async def test_an_unsent_price_is_sent_and_an_unsent_edit_is_not(
    pool: Pool, source: str, remedied: Kind | None
) -> None:
    """Its own upload may have begun just before the price; an edit waits for its person."""
    assert await needed(pool, await a_history(pool, edit=source)) is remedied


async def test_what_a_verify_found_changed_is_corrected(pool: Pool) -> None:
    """SCL-15."""
    history = await a_history(pool)
    history.done(2, "verify", "failed", "NotShown", at=5)
    history.doubted(1, by=2)
    assert await needed(pool, history) is Kind.UPLOAD


async def test_a_scale_that_was_without_power_is_read(pool: Pool) -> None:
    history = await a_history(pool)
    history.done(2, "probe", "failed", "Unreachable", at=5, by="heal")
    history.done(3, "probe", "done", at=10, by="heal")
    assert await needed(pool, history) is Kind.VERIFY


async def test_failures_count_since_it_last_showed_what_it_shall(pool: Pool) -> None:
    history = await a_history(pool, edit="person")
    for number in range(2, 6):
        history.done(number, "upload", "failed", "NotShown", at=number)
    history.done(9, "upload", "failed", "Busy", at=7)
    await history.project(pool)
    (patient,) = await patients(pool)
    assert (patient.health.failures, patient.health.ended_at) == (4, minute(7))
    assert (patient.ip, patient.port, patient.tenant) == ("10.0.0.17", 1111, "demo")
