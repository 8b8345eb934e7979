"""A stock item: its batches, and what orders have reserved of them (spec shop §7).

Of every batch 0 ≤ reserved ≤ quantity, and `reserved` is the sum of the orders' shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from contracts.shop import (
    Batch,
    BatchDescribed,
    BatchMovedIn,
    BatchMovedOut,
    BatchReceived,
    Level,
    OrderShare,
    ShopEvent,
    StockAdjusted,
    StockId,
    StockReleased,
    StockReserved,
    StockReturned,
    StockWrittenOff,
)
from libs.names import comparable
from services.shop.stock.domain.commands import ItemUnknown

_NAMESPACE: Final = UUID("6f0f2a52-6d0c-4a35-9f57-0a4f1f1f6b0e")

ShareEvent: TypeAlias = StockReserved | StockReleased | StockWrittenOff | StockReturned
Part: TypeAlias = tuple["StockedBatch", int]
"""A batch, and stems of it."""


def stock_id_of(variety: str, height_cm: int) -> StockId:
    """The stock item of a variety and height; case and blanks of the variety do not matter."""
    return StockId(uuid5(_NAMESPACE, f"{comparable(variety).casefold()} {height_cm}"))


@dataclass(frozen=True, kw_only=True, slots=True)
class StockedBatch:
    """A batch, its stems, and what orders have of it, by order; nothing is left out."""

    batch: Batch
    level: Level
    shares: Mapping[int, OrderShare] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return self.level.quantity - self.level.reserved

    @property
    def is_eligible(self) -> bool:
        """Whether orders may reserve of it."""
        return self.available > 0 and not self.batch.to_write_off and not self.batch.hidden

    def share(self, order_id: int) -> OrderShare:
        """What an order has of the batch."""
        return self.shares.get(order_id) or OrderShare(order_id=order_id, reserved=0, written_off=0)

    def level_after(self, *, quantity: int = 0, reserved: int = 0) -> Level:
        """The level after an event that adds these."""
        return Level(
            quantity=self.level.quantity + quantity,
            reserved=self.level.reserved + reserved,
            revision=self.level.revision + 1,
        )


@dataclass(frozen=True, slots=True)
class Stock:
    """The batches of a stock item, by id."""

    batches: Mapping[int, StockedBatch] = field(default_factory=dict)

    def batch(self, batch_id: int) -> StockedBatch:
        """Raises ItemUnknown."""
        if (stocked := self.batches.get(batch_id)) is None:
            raise ItemUnknown
        return stocked

    def oldest_first(self) -> list[StockedBatch]:
        """The batches in the order in which orders take from them."""
        stocked = self.batches.values()
        return sorted(stocked, key=lambda one: (one.batch.delivered_at, one.batch.batch_id))

    def reserved(self, order_id: int) -> list[Part]:
        """What an order has reserved, oldest batches first."""
        parts = ((one, one.share(order_id).reserved) for one in self.oldest_first())
        return [part for part in parts if part[1]]

    def written_off(self, order_id: int) -> list[Part]:
        """What was written off for an order, oldest batches first."""
        parts = ((one, one.share(order_id).written_off) for one in self.oldest_first())
        return [part for part in parts if part[1]]


def evolve(stock: Stock, event: ShopEvent) -> Stock:
    """See `Decider`."""
    match event:
        case StockReserved() | StockReleased() | StockWrittenOff() | StockReturned():
            return _after_order_event(stock, event)
        case BatchReceived(batch=batch, after=after):
            return _with(stock, StockedBatch(batch=batch, level=after))
        case BatchMovedIn(batch=batch, after=after):
            shares = {share.order_id: share for share in event.shares}
            return _with(stock, StockedBatch(batch=batch, level=after, shares=shares))
        case BatchMovedOut(batch_id=batch_id):
            return Stock({n: one for n, one in stock.batches.items() if n != batch_id})
        case BatchDescribed(batch=batch, after=after):
            return _with(stock, replace(stock.batches[batch.batch_id], batch=batch, level=after))
        case StockAdjusted(batch_id=batch_id, after=after):
            return _with(stock, replace(stock.batches[batch_id], level=after))
        case _:
            return stock


def _after_order_event(stock: Stock, event: ShareEvent) -> Stock:
    reserved, written_off = stems_gained(event)
    for allocation in event.allocations:
        stocked = stock.batches[allocation.batch_id]
        before = stocked.share(event.order_id)
        share = OrderShare(
            order_id=event.order_id,
            reserved=before.reserved + reserved * allocation.quantity,
            written_off=before.written_off + written_off * allocation.quantity,
        )
        shares = {**stocked.shares, event.order_id: share}
        if not (share.reserved or share.written_off):
            del shares[event.order_id]
        stock = _with(stock, replace(stocked, level=allocation.after, shares=shares))
    return stock


def stems_gained(event: ShareEvent) -> tuple[int, int]:
    """What the order's share gains by each allocated stem: reserved, and written off."""
    match event:
        case StockReserved():
            return 1, 0
        case StockReleased():
            return -1, 0
        case StockWrittenOff():
            return -1, 1
        case StockReturned(is_reserved=is_reserved):
            return int(is_reserved), -1
        case _:
            assert_never(event)


def _with(stock: Stock, stocked: StockedBatch) -> Stock:
    return Stock({**stock.batches, stocked.batch.batch_id: stocked})
