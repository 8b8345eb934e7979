"""Batches of flowers for tests, and stock that holds them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from contracts.shop import Batch, ShopEvent
from services.shop.stock.domain.commands import Need, NewBatch, Receive, Reserve
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.domain.stock import Stock

NOW: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
VARIETY: Final = "Фридом"
HEIGHT: Final = 60


def batch(number: int, *, age: int = 0, **fields: Any) -> Batch:
    """A batch that was delivered `age` days ago."""
    values: dict[str, Any] = {
        "batch_id": number,
        "sku": f"ФРИ-{number}",
        "batch_code": f"B{number}",
        "variety": VARIETY,
        "height_cm": HEIGHT,
        "farm": "Naranjo",
        "supplier": "Flower Base",
        "delivered_at": NOW - timedelta(days=age),
        "currency": "USD",
        "rate": Decimal(500),
        "cost": Decimal("0.5"),
        "markup_percent": Decimal(100),
        "price": 500,
        "recommended_price": 500,
        "created_at": NOW,
    }
    return Batch(**{**values, **fields})


def receive(*batches: tuple[Batch, int]) -> Receive:
    """The command that takes batches with these quantities into stock."""
    return Receive(
        batches=tuple(NewBatch(batch=one, quantity=quantity) for one, quantity in batches),
        reference_type="manual",
        reference_id=None,
        by="anna",
        now=NOW,
    )


def received(*batches: tuple[Batch, int]) -> list[ShopEvent]:
    """The events of that command on empty stock."""
    return STOCK.decide(Stock(), receive(*batches))


def reserve(order_id: int, quantity: int, *, of: int = 1) -> Reserve:
    """The command that lets an order have this many stems of the item of a batch reserved."""
    needs = (Need(warehouse_item_id=of, quantity=quantity),)
    return Reserve(order_id=order_id, needs=needs, by="anna", now=NOW)


def after(*commands: Any, stock: Stock | None = None) -> Stock:
    """The stock after commands."""
    stock = stock or Stock()
    for command in commands:
        for event in STOCK.decide(stock, command):
            stock = STOCK.evolve(stock, event)
    return stock


def levels(stock: Stock) -> dict[int, tuple[int, int]]:
    """Quantity and reserved quantity of each batch."""
    return {
        number: (stocked.level.quantity, stocked.level.reserved)
        for number, stocked in stock.batches.items()
    }
