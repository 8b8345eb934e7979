"""Days of a shop: what happened, closed and corrected (SHP-14)."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random
from uuid import UUID

import pytest

from contracts.envelope import Envelope
from contracts.shop import Allocation, DayClosed, Level, ShopEvent, StockReturned, StockWrittenOff
from libs.postgres.pool import Pool
from libs.testing.read_models import (
    apply,
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_isolated,
)
from services.shop.orders.day import read_models
from services.shop.orders.domain.status import Status
from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.florist import Florist
from tests.services.shop.orders.orders import ANNA, at

STATES = [one for one in Status if one is not Status.SELF_PICKUP]
"""Those of an order that is delivered."""


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


def today(shop: ShopKit) -> date:
    return datetime.now(shop.settings.zone).date()


async def test_a_day_has_the_figures_of_its_orders_and_their_stems(
    shop: ShopKit, florist: Florist
) -> None:
    product = await florist.product((await florist.stock(20), 5))
    sold, cancelled, _ = [
        await florist.placed((product, 1), delivery_fee=1500, payment_method="cash")
        for _ in range(3)
    ]
    await florist.move(sold["id"], "paid", "assembled", "delivery")
    reason = {"cancellation_reason": "передумал"}
    await florist.client.post(f"/api/orders/{cancelled['id']}/cancel", json=reason)

    answer = await florist.client.get(f"/api/days/{today(shop)}")

    assert answer.status_code == 200
    assert answer.json() == {
        "date": str(today(shop)),
        "figures": {
            "placed": 3,
            "flower_sum": 45_000,
            "delivery_fees": 4500,
            "cancelled": 1,
            "cancelled_sum": 16_500,
            "moved.paid": 1,
            "moved.assembled": 1,
            "moved.delivery": 1,
            "moved.issue": 1,
            f"received.{sold['payment_method'] or 'unknown'}": 16_500,
            "written_off": 5,
        },
        "closed": None,
    }


async def test_a_closed_day_goes_on_selling_and_is_corrected_once(
    shop: ShopKit, florist: Florist
) -> None:
    product, path = await florist.product(), f"/api/days/{today(shop)}"
    await florist.placed((product, 1))
    first = (await florist.client.post(f"{path}/close")).json()
    again = (await florist.client.post(f"{path}/close/")).json()
    await florist.placed((product, 2), delivery_fee=0)
    open_day = (await florist.client.get(path)).json()
    corrected = (await florist.client.post(f"{path}/close")).json()

    assert first == again
    assert first["closed"]["figures"] == first["figures"]
    assert open_day["closed"] == first["closed"]
    assert open_day["figures"]["placed"] == 2
    assert corrected["closed"]["corrects"] == {"placed": 1, "flower_sum": 30_000}
    assert corrected["closed"]["position"] > first["closed"]["position"] > 0
    assert len(await shop.events(DayClosed)) == 2


async def test_days_are_closed_by_those_who_may_see_orders_of_their_own_shop(
    shop: ShopKit, florist: Florist
) -> None:
    await florist.placed((await florist.product(), 1))
    path = f"/api/days/{today(shop)}"
    async with shop.staff("warehouse") as other, shop.staff(number=8) as foreign:
        assert (await other.get(path)).status_code == 403
        assert (await other.post(f"{path}/close")).status_code == 403
        assert (await foreign.post(f"{path}/close")).json()["figures"] == {}

    assert (await florist.client.get(path)).json()["closed"] is None


async def test_a_day_to_come_or_that_is_none_is_refused(shop: ShopKit, florist: Florist) -> None:
    tomorrow = today(shop) + timedelta(days=1)

    assert (await florist.client.post(f"/api/days/{tomorrow}/close")).status_code == 400
    assert (await florist.client.get("/api/days/2026-02-30")).status_code == 422


def history(seed: int) -> list[Envelope[ShopEvent]]:
    """Orders of two shops in random states, and stems that left and came back."""
    events: list[Envelope[ShopEvent]] = []
    random = Random(seed)
    part = (Allocation(batch_id=1, quantity=3, after=Level(quantity=9, reserved=0, revision=1)),)
    moment = datetime(2026, 3, 7, 12, tzinfo=UTC)
    stems: list[ShopEvent] = [
        StockWrittenOff(order_id=1, allocations=part, written_off_by=ANNA, written_off_at=moment),
        StockReturned(
            order_id=1,
            allocations=part,
            is_reserved=False,
            returned_by=ANNA,
            returned_at=moment + timedelta(days=1),
        ),
    ]
    streams = {f"order-{n}": at(random.choice([*STATES])) for n in range(9)} | {"stock-1": stems}
    for number, (stream, happened) in enumerate(streams.items()):
        for version, event in enumerate(happened, 1):
            events.append(
                Envelope(
                    event_id=UUID(int=len(events)),
                    tenant=f"shop-{number % 2}",
                    stream=stream,
                    version=version,
                    occurred_at=moment,
                    recorded_at=moment,
                    correlation_id=None,
                    causation_id=None,
                    actor=None,
                    traceparent=None,
                    event=event,
                )
            )
    return events


async def test_the_history_alone_decides_the_figures(shop: ShopKit, pool: Pool) -> None:
    projections = [read_models.projection(shop.settings.zone)]
    tables = (read_models.MONEY.name, read_models.FIGURE.name)

    await assert_history_decides(
        pool, partial(apply, pool, "shop", projections), [history(1), history(2)], tables
    )


async def test_tables_are_as_declared_and_shops_do_not_see_each_other(
    shop: ShopKit, pool: Pool, reading_pool: Pool
) -> None:
    tables = (read_models.MONEY, read_models.FIGURE)
    await apply(pool, "shop", [read_models.projection(shop.settings.zone)], history(1))

    await assert_migrated_as_declared(pool, "shop", tables)
    await assert_tenants_are_isolated(reading_pool, [table.name for table in tables])


async def test_a_day_begins_at_midnight_of_the_shop(shop: ShopKit, pool: Pool) -> None:
    late = [one for one in history(1) if isinstance(one.event, StockWrittenOff)]
    event = late[0].event
    assert isinstance(event, StockWrittenOff)
    midnight = datetime.combine(date(2026, 3, 8), datetime.min.time(), shop.settings.zone)
    moments = (midnight - timedelta(seconds=1), midnight)
    events = [
        late[0]._replace(
            version=version,
            event=StockWrittenOff(
                order_id=1,
                allocations=event.allocations,
                written_off_by=ANNA,
                written_off_at=moment.astimezone(UTC),
            ),
        )
        for version, moment in enumerate(moments, 1)
    ]
    await apply(pool, "shop", [read_models.projection(shop.settings.zone)], events)

    days = await pool.fetch("SELECT day FROM day_figure ORDER BY version")
    assert [row["day"] for row in days] == [date(2026, 3, 7), date(2026, 3, 8)]
