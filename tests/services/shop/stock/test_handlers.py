"""Commands of the stock that are sent again under the same id."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

from contracts.shop import GoodsReceived, StockAdjusted
from services.shop.stock.domain.receipt import Line, Origin
from services.shop.stock.handlers import item, receipt
from tests.services.shop.kit import ShopKit
from tests.services.shop.stock.warehouse import METADATA, create, read

ORIGIN = Origin(
    supplier="Rosa",
    farm=None,
    delivered_at=datetime(2026, 3, 1, tzinfo=UTC),
    currency="KZT",
    rate=Decimal(1),
)
LINES = [
    Line(variety=variety, height_cm=60, quantity=3, cost=Decimal(100))
    for variety in ("Фридом", "Эксплорер")
]


async def test_an_adjustment_that_is_sent_again_counts_once(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        number = (await create(admin))["id"]
        command_id = uuid4()
        for _ in range(2):
            event = await item.adjust(
                shop.deps, number, -3, "Брак", METADATA, command_id=command_id
            )
            assert event.after.quantity == 97
        await item.adjust(shop.deps, number, -3, "Брак", METADATA)
        await shop.caught_up()

        assert (await read(admin, number))["qty"] == 94
    assert len(await shop.events(StockAdjusted)) == 2


async def test_goods_that_are_sent_again_come_in_once(shop: ShopKit) -> None:
    for receive in (receipt.receive_delivery, receipt.receive_supply):
        command_id = uuid4()
        first, again = [
            await receive(shop.deps, ORIGIN, LINES, METADATA, command_id=command_id)
            for _ in range(2)
        ]
        assert first == again

    assert len(await shop.events(GoodsReceived)) == 2
    await shop.caught_up()
    assert await shop.fetch_value("SELECT sum(quantity) FROM stock_level") == 12
