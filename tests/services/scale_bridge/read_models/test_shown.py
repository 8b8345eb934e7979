"""What price did scale X show at 14:05? Answered from what was verified (SCL-18)."""

from typing import Any

from libs.postgres.pool import Pool
from services.scale_bridge.read_models import shown
from services.scale_bridge.read_models.shown import Answer
from tests.services.scale_bridge.twin import Told, device_id, minute, project

CHEAP: dict[str, Any] = {"name": "Сыр", "price": 199.0}
DEAR: dict[str, Any] = {"name": "Сыр", "price": 219.5}


async def at(pool: Pool, number: float, plu: str = "17", tenant: str = "demo") -> Answer | None:
    async with pool.acquire() as connection:
        return await shown.at(connection, tenant, device_id(), plu, minute(number))


async def told(pool: Pool, told: Told) -> None:
    await project(pool, told.events)


async def test_each_instant_has_the_price_that_was_verified_last(pool: Pool) -> None:
    """SCL-18."""
    tell = Told()
    tell.shown(0, {"17": CHEAP}, by=1)
    tell.shown(10, {"17": DEAR}, by=2)
    await told(pool, tell)

    early, late = await at(pool, 5), await at(pool, 10)

    assert early is not None
    assert early.product == CHEAP
    assert (early.since, early.until) == (minute(0), minute(10))
    assert (early.verified_at, early.next_verified_at) == (minute(0), minute(10))
    assert late is not None
    assert (late.product, late.since, late.until) == (DEAR, minute(10), None)
    assert late.certain


async def test_before_anything_was_verified_it_is_not_known(pool: Pool) -> None:
    """SCL-18: nothing is made up."""
    tell = Told()
    tell.shown(10, {"17": CHEAP})
    await told(pool, tell)

    assert await at(pool, 9.9) is None
    assert await at(pool, 11, tenant="other") is None


async def test_what_is_shown_no_more_and_what_never_was_is_told(pool: Pool) -> None:
    tell = Told()
    tell.shown(0, {"17": CHEAP})
    tell.shown(10, {}, "17", by=2)
    await told(pool, tell)

    gone, never = await at(pool, 11), await at(pool, 11, plu="21")

    assert gone is not None
    assert (gone.product, gone.since) == (None, minute(10))
    assert never is not None
    assert (never.product, never.since) == (None, None)


async def test_a_read_that_finds_nothing_new_verifies_what_is_shown(pool: Pool) -> None:
    tell = Told()
    tell.shown(0, {"17": CHEAP})
    tell.done(2, "verify", at=30)
    await told(pool, tell)

    found = await at(pool, 40)

    assert found is not None
    assert (found.product, found.since, found.verified_at) == (CHEAP, minute(0), minute(30))


async def test_what_was_written_and_not_read_back_is_not_certain(pool: Pool) -> None:
    """R4: an upload whose end nobody knows may have been imported."""
    for outcome in ("applied", "unknown"):
        tell = Told()
        tell.shown(0, {"17": CHEAP})
        tell.queued(2)
        if outcome == "applied":
            tell.applied(2, at=10)
        else:
            tell.ended(2, "upload", "unknown", "UnknownOutcome", at=10)
        await told(pool, tell)

        before, after = await at(pool, 9), await at(pool, 11)

        assert before is not None
        assert before.certain
        assert after is not None
        assert not after.certain
        await pool.execute("DELETE FROM reading")


async def test_at_another_address_nothing_of_the_old_scale_counts(pool: Pool) -> None:
    """R9: it may be another scale."""
    tell = Told()
    tell.shown(0, {"17": CHEAP})
    tell.invalidated(2, at=10)
    tell.shown(20, {"21": DEAR}, by=2)
    await told(pool, tell)

    old = await at(pool, 9)
    assert old is not None
    assert (old.product, old.until) == (CHEAP, minute(10))
    assert await at(pool, 15) is None
    new = await at(pool, 21)
    assert new is not None
    assert (new.product, new.since) == (None, None)


async def test_the_history_of_a_product_is_told_interval_by_interval(pool: Pool) -> None:
    tell = Told()
    tell.shown(0, {"17": CHEAP})
    tell.shown(10, {"17": DEAR}, by=2)
    tell.invalidated(2, at=15)
    tell.shown(20, {}, "17", by=3)
    await told(pool, tell)

    async with pool.acquire() as connection:
        found = await shown.history(connection, "demo", device_id(), "17", limit=9)

    assert [(one.since, one.until, one.product) for one in found] == [
        (minute(20), None, None),
        (minute(10), minute(15), DEAR),
        (minute(0), minute(10), CHEAP),
    ]
