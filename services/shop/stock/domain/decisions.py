"""Decisions about a stock item: what a command changes, or why it is refused (spec shop §7).

Orders take from the batches in the order of their delivery, and give back the newest first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, assert_never

from contracts.shop import (
    Allocation,
    Batch,
    BatchDescribed,
    BatchMovedIn,
    BatchMovedOut,
    BatchReceived,
    Level,
    ShopEvent,
    StockAdjusted,
    StockReleased,
    StockReserved,
    StockReturned,
    StockWrittenOff,
)
from libs.eventsourcing.decider import Decider
from services.shop.stock.domain.commands import (
    Adjust,
    BatchReserved,
    Count,
    Describe,
    MoveIn,
    MoveOut,
    OrderCommand,
    Receive,
    Release,
    Reserve,
    Return,
    StockCommand,
    StockExceeded,
    StockShort,
    WriteOff,
)
from services.shop.stock.domain.pricing import recommended_price
from services.shop.stock.domain.stock import Part, Stock, StockedBatch, evolve, stock_id_of


def decide(stock: Stock, command: StockCommand) -> list[ShopEvent]:
    """See `Decider`."""
    match command:
        case Reserve() | Release() | WriteOff() | Return():
            return _decide_for_order(stock, command)
        case Receive():
            return list(_received(stock, command))
        case MoveIn():
            return _moved_in(stock, command)
        case _:
            return _decide_for_batch(stock.batch(command.batch_id), command)


def _decide_for_order(stock: Stock, command: OrderCommand) -> list[ShopEvent]:
    match command:
        case Reserve():
            return _reserved(stock, command)
        case Release():
            return _released(command, stock.reserved(command.order_id))
        case WriteOff():
            return _written_off(command, stock.reserved(command.order_id))
        case Return():
            return _returned(command, stock.written_off(command.order_id))
        case _:
            assert_never(command)


def _decide_for_batch(
    stocked: StockedBatch, command: Adjust | Count | Describe | MoveOut
) -> list[ShopEvent]:
    match command:
        case Adjust():
            return _adjusted(stocked, command, command.change)
        case Count():
            return _adjusted(stocked, command, command.quantity - stocked.level.quantity)
        case Describe():
            return _described(stocked, command)
        case MoveOut():
            return _moved_out(stocked, command)
        case _:
            assert_never(command)


def _received(stock: Stock, command: Receive) -> Iterator[ShopEvent]:
    for new in command.batches:
        if new.batch.batch_id not in stock.batches:
            yield BatchReceived(
                stock_id=stock_id_of(new.batch.variety, new.batch.height_cm),
                batch=new.batch,
                after=Level(quantity=new.quantity, reserved=0, revision=1),
                reference_type=command.reference_type,
                reference_id=command.reference_id,
                received_by=command.by,
                received_at=command.now,
            )


def _reserved(stock: Stock, command: Reserve) -> list[ShopEvent]:
    needed = [stock.batch(need.warehouse_item_id) for need in command.needs]
    shares = [stocked.share(command.order_id) for stocked in stock.batches.values()]
    missing = sum(need.quantity for need in command.needs)
    missing -= sum(share.reserved + share.written_off for share in shares)
    if missing <= 0:
        newest_first = reversed(stock.reserved(command.order_id))
        return _released(command, _take(newest_first, -missing))
    eligible = ((one, one.available) for one in stock.oldest_first() if one.is_eligible)
    parts = _take(eligible, missing)
    if short := missing - sum(quantity for _, quantity in parts):
        raise StockShort({_name(needed[0].batch): short})
    return [
        StockReserved(
            order_id=command.order_id,
            allocations=_allocations(parts, reserved=1),
            reserved_by=command.by,
            reserved_at=command.now,
        )
    ]


def _released(command: Reserve | Release, parts: Iterable[Part]) -> list[ShopEvent]:
    if not (allocations := _allocations(parts, reserved=-1)):
        return []
    return [
        StockReleased(
            order_id=command.order_id,
            allocations=allocations,
            released_by=command.by,
            released_at=command.now,
        )
    ]


def _written_off(command: WriteOff, parts: Iterable[Part]) -> list[ShopEvent]:
    if not (allocations := _allocations(parts, quantity=-1, reserved=-1)):
        return []
    return [
        StockWrittenOff(
            order_id=command.order_id,
            allocations=allocations,
            written_off_by=command.by,
            written_off_at=command.now,
        )
    ]


def _returned(command: Return, parts: Iterable[Part]) -> list[ShopEvent]:
    reserved = 1 if command.is_reserved else 0
    if not (allocations := _allocations(parts, quantity=1, reserved=reserved)):
        return []
    return [
        StockReturned(
            order_id=command.order_id,
            allocations=allocations,
            is_reserved=command.is_reserved,
            returned_by=command.by,
            returned_at=command.now,
        )
    ]


def _adjusted(stocked: StockedBatch, command: Adjust | Count, change: int) -> list[ShopEvent]:
    if stocked.available + change < 0:
        raise StockExceeded
    if not change:
        return []
    return [
        StockAdjusted(
            batch_id=command.batch_id,
            change=change,
            after=stocked.level_after(quantity=change),
            reason=command.reason,
            is_count=isinstance(command, Count),
            adjusted_by=command.by,
            adjusted_at=command.now,
        )
    ]


def _described(stocked: StockedBatch, command: Describe) -> list[ShopEvent]:
    batch = replace(stocked.batch, **command.changes)
    if (batch.cost, batch.rate) != (stocked.batch.cost, stocked.batch.rate):
        recommended = recommended_price(batch.cost, batch.rate, batch.markup_percent)
        batch = replace(batch, recommended_price=recommended)
    if batch == stocked.batch:
        return []
    return [
        BatchDescribed(
            stock_id=stock_id_of(batch.variety, batch.height_cm),
            batch=batch,
            after=stocked.level_after(),
            changed_by=command.by,
            changed_at=command.now,
        )
    ]


def _moved_out(stocked: StockedBatch, command: MoveOut) -> list[ShopEvent]:
    if stocked.level.reserved:
        raise BatchReserved
    return [
        BatchMovedOut(
            batch_id=command.batch_id,
            to=command.to,
            moved_by=command.by,
            moved_at=command.now,
        )
    ]


def _moved_in(stock: Stock, command: MoveIn) -> list[ShopEvent]:
    if command.batch.batch_id in stock.batches:
        return []
    arriving = StockedBatch(batch=command.batch, level=command.level)
    return [
        BatchMovedIn(
            stock_id=stock_id_of(command.batch.variety, command.batch.height_cm),
            batch=command.batch,
            after=arriving.level_after(),
            shares=command.shares,
            moved_by=command.by,
            moved_at=command.now,
        )
    ]


def _take(parts: Iterable[Part], quantity: int) -> list[Part]:
    """The first of the parts, together at most `quantity` stems."""
    taken: list[Part] = []
    for stocked, stems in parts:
        if quantity <= 0:
            break
        taken.append((stocked, min(stems, quantity)))
        quantity -= stems
    return taken


def _allocations(
    parts: Iterable[Part], *, quantity: int = 0, reserved: int = 0
) -> tuple[Allocation, ...]:
    """The allocations of parts; `quantity` and `reserved` are what a stem of them adds."""
    return tuple(
        Allocation(
            batch_id=stocked.batch.batch_id,
            quantity=stems,
            after=stocked.level_after(quantity=stems * quantity, reserved=stems * reserved),
        )
        for stocked, stems in parts
    )


def _name(batch: Batch) -> str:
    return f"{batch.variety} {batch.height_cm} см"


STOCK: Final = Decider(category="stock", initial=Stock(), decide=decide, evolve=evolve)
