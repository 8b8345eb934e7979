"""Decisions about a stock item: what a command changes, or why it is refused (spec shop §7).

Orders take from the batches in the order of their delivery, and give back the newest first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

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
from services.shop.stock.domain.stock import (
    Part,
    ShareEvent,
    Stock,
    StockedBatch,
    evolve,
    stock_id_of,
)


def decide(stock: Stock, command: StockCommand) -> list[ShopEvent]:
    """See `Decider`."""
    match command:
        case Reserve() | Release() | WriteOff() | Return():
            return _decide_for_order(stock, command)
        case Receive():
            new = [one for one in command.batches if one.batch.batch_id not in stock.batches]
            return [_received(one.batch, one.quantity, command) for one in new]
        case MoveIn():
            return _moved_in(stock, command)
        case Adjust():
            return _adjusted(stock.batch(command.batch_id), command)
        case Describe():
            return _described(stock.batch(command.batch_id), command)
        case MoveOut():
            return _moved_out(stock.batch(command.batch_id), command)
        case _:
            assert_never(command)


def _decide_for_order(stock: Stock, command: OrderCommand) -> list[ShopEvent]:
    match command:
        case Reserve():
            return _reserved(stock, command)
        case Release(order_id=order_id):
            return _released(command, stock.reserved(order_id))
        case WriteOff(order_id=order_id):
            parts = _allocations(stock.reserved(order_id), quantity=-1, reserved=-1)
            return _share_event(StockWrittenOff, "written_off", command, parts)
        case Return(order_id=order_id, is_reserved=is_reserved):
            back = stock.written_off(order_id)
            parts = _allocations(back, quantity=1, reserved=int(is_reserved))
            return _share_event(StockReturned, "returned", command, parts, is_reserved=is_reserved)
        case _:
            assert_never(command)


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
        batch = needed[0].batch
        raise StockShort({f"{batch.variety} {batch.height_cm} см": short})
    return _share_event(StockReserved, "reserved", command, _allocations(parts, reserved=1))


def _released(command: Reserve | Release, parts: Iterable[Part]) -> list[ShopEvent]:
    return _share_event(StockReleased, "released", command, _allocations(parts, reserved=-1))


def _share_event(
    kind: type[ShareEvent],
    verb: str,
    command: OrderCommand,
    allocations: tuple[Allocation, ...],
    **fields: Any,
) -> list[ShopEvent]:
    """The event of an order's share, which has its author and time under names with its verb."""
    if not allocations:
        return []
    fields |= {f"{verb}_by": command.by, f"{verb}_at": command.now}
    return [kind(order_id=command.order_id, allocations=allocations, **fields)]


def _received(batch: Batch, quantity: int, command: Receive) -> BatchReceived:
    return BatchReceived(
        stock_id=stock_id_of(batch.variety, batch.height_cm),
        batch=batch,
        after=Level(quantity=quantity, reserved=0, revision=1),
        reference_type=command.reference_type,
        reference_id=command.reference_id,
        received_by=command.by,
        received_at=command.now,
    )


def _adjusted(stocked: StockedBatch, command: Adjust) -> list[ShopEvent]:
    is_count = command.count is not None
    change = command.change if command.count is None else command.count - stocked.level.quantity
    if stocked.available + change < 0:
        raise StockExceeded
    if not change:
        return []
    adjusted = StockAdjusted(
        batch_id=command.batch_id,
        change=change,
        after=stocked.level_after(quantity=change),
        reason=command.reason,
        is_count=is_count,
        adjusted_by=command.by,
        adjusted_at=command.now,
    )
    return [adjusted]


def _described(stocked: StockedBatch, command: Describe) -> list[ShopEvent]:
    batch = described(stocked.batch, command.changes)
    if batch == stocked.batch:
        return []
    changed = BatchDescribed(
        stock_id=stock_id_of(batch.variety, batch.height_cm),
        batch=batch,
        after=stocked.level_after(),
        changed_by=command.by,
        changed_at=command.now,
    )
    return [changed]


def described(batch: Batch, changes: Mapping[str, Any]) -> Batch:
    """A batch with changed fields; the recommended price follows the cost."""
    changed = replace(batch, **changes)
    if changed.cost == batch.cost and changed.rate == batch.rate:
        return changed
    recommended = recommended_price(changed.cost, changed.rate, changed.markup_percent)
    return replace(changed, recommended_price=recommended)


def _moved_out(stocked: StockedBatch, command: MoveOut) -> list[ShopEvent]:
    if stocked.level.reserved:
        raise BatchReserved
    by, now = command.by, command.now
    return [BatchMovedOut(batch_id=command.batch_id, to=command.to, moved_by=by, moved_at=now)]


def _moved_in(stock: Stock, command: MoveIn) -> list[ShopEvent]:
    batch = command.batch
    if batch.batch_id in stock.batches:
        return []
    arrived = BatchMovedIn(
        stock_id=stock_id_of(batch.variety, batch.height_cm),
        batch=batch,
        after=StockedBatch(batch=batch, level=command.level).level_after(),
        shares=command.shares,
        moved_by=command.by,
        moved_at=command.now,
    )
    return [arrived]


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


STOCK: Final = Decider(category="stock", initial=Stock(), decide=decide, evolve=evolve)
