"""Whose scales follow the prices of a shop, and in which currency."""

from contracts.scale_bridge import ProductEdited
from contracts.shop import PriceChanged
from libs.messaging.inbox_feed import InboxFeed
from services.scale_bridge.prices import reactions as shop
from tests.services.scale_bridge.pricing import changed, record, recorded, work_again_and_again
from tests.services.scale_bridge.service import Service, open_device, open_service


async def park_or_handle(service: Service, change: PriceChanged) -> list[str]:
    """React to a price until it is handled or parked; the errors of what is parked."""
    await service.caught_up()
    pool, reaction = service.deps.system, shop.prices(service.deps)
    await InboxFeed(pool, reaction).store([record(recorded(change, 1))])
    await work_again_and_again(pool, reaction)
    rows = await pool.fetch("SELECT error FROM inbox WHERE parked_at IS NOT NULL")
    return [str(row["error"]) for row in rows]


async def test_a_price_in_another_currency_is_parked_if_there_are_scales(database: str) -> None:
    async with open_device(database) as device:
        [error] = await park_or_handle(device.service, changed(currency="USD"))

        assert "SCALE_BRIDGE_CURRENCY" in error
        assert await device.service.events(ProductEdited) == []


async def test_a_price_of_a_tenant_without_scales_may_be_in_any_currency(database: str) -> None:
    async with open_service(database) as service:
        assert await park_or_handle(service, changed(currency="USD")) == []


async def test_scales_follow_the_shop_that_is_their_source_and_no_other(database: str) -> None:
    sources = ("one=demo", "two=demo", "demo=shop-7")
    async with open_service(database, price_sources=sources) as service:
        change = changed()
        assert await park_or_handle(service, change) == []

        tenants = await service.fetch_value("SELECT array_agg(tenant ORDER BY tenant) FROM price")
        assert tenants == ["one", "two"]
