"""What the commands of a stock item change, and why they are refused (spec shop §7)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from contracts.shop import (
    BatchDescribed,
    BatchMovedOut,
    OrderShare,
    StockAdjusted,
    StockReleased,
    StockReserved,
    StockReturned,
    StockWrittenOff,
)
from services.shop.stock.domain.commands import (
    Adjust,
    BatchReserved,
    Describe,
    ItemUnknown,
    MoveIn,
    MoveOut,
    Release,
    Return,
    StockExceeded,
    StockShort,
    WriteOff,
)
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.domain.stock import Stock, stock_id_of
from tests.services.shop.stock.batches import (
    HEIGHT,
    NOW,
    VARIETY,
    after,
    batch,
    levels,
    receive,
    reserve,
)

THREE = receive((batch(1, age=1), 5), (batch(2, age=3), 5), (batch(3, age=3), 5))
"""In the order of their delivery: 2, 3, 1."""


def release(order_id: int) -> Release:
    return Release(order_id=order_id, by="anna", now=NOW)


def write_off(order_id: int) -> WriteOff:
    return WriteOff(order_id=order_id, by="anna", now=NOW)


def put_back(order_id: int, *, is_reserved: bool = True) -> Return:
    return Return(order_id=order_id, is_reserved=is_reserved, by="anna", now=NOW)


def adjust(change: int, number: int = 1) -> Adjust:
    return Adjust(batch_id=number, change=change, reason="брак", by="anna", now=NOW)


def describe(number: int = 1, **changes: Any) -> Describe:
    return Describe(batch_id=number, changes=changes, by="anna", now=NOW)


def only(stock: Stock, command: Any) -> Any:
    """The one event of a command."""
    (event,) = STOCK.decide(stock, command)
    return event


def parts(event: Any) -> list[tuple[int, int]]:
    return [(one.batch_id, one.quantity) for one in event.allocations]


def test_an_order_takes_from_the_oldest_delivery_first_then_by_id() -> None:
    event = only(after(THREE), reserve(7, 12))

    assert isinstance(event, StockReserved)
    assert parts(event) == [(2, 5), (3, 5), (1, 2)]
    assert levels(after(THREE, reserve(7, 12))) == {1: (5, 2), 2: (5, 5), 3: (5, 5)}


@pytest.mark.parametrize("flag", ["to_write_off", "hidden"])
def test_a_batch_that_is_not_for_sale_is_passed_over(flag: str) -> None:
    stock = after(THREE, describe(2, **{flag: True}))

    assert parts(only(stock, reserve(7, 6))) == [(3, 5), (1, 1)]
    with pytest.raises(StockShort):
        STOCK.decide(stock, reserve(7, 11))


def test_an_order_for_more_than_there_is_reserves_nothing_and_names_what_is_missing() -> None:
    stock = after(THREE, reserve(7, 12))

    with pytest.raises(StockShort) as refusal:
        STOCK.decide(stock, reserve(8, 5))

    assert refusal.value.missing == {"Фридом 60 см": 2}
    assert "Фридом 60 см (не хватает 2)" in str(refusal.value)
    assert levels(after(stock=stock)) == {1: (5, 2), 2: (5, 5), 3: (5, 5)}


def test_shortages_of_several_items_are_one_refusal() -> None:
    both = StockShort.of([StockShort({"Фридом 60 см": 2}), StockShort({"Эвкалипт 40 см": 1})])

    assert both.missing == {"Фридом 60 см": 2, "Эвкалипт 40 см": 1}


def test_needs_of_one_order_are_summed_before_they_are_compared_with_the_stock() -> None:
    twice = reserve(7, 8)
    twice = replace(twice, needs=(*twice.needs, *twice.needs))

    with pytest.raises(StockShort):
        STOCK.decide(after(THREE), twice)


def test_reserving_again_changes_nothing_and_a_changed_need_moves_the_difference() -> None:
    stock = after(THREE, reserve(7, 6))

    assert STOCK.decide(stock, reserve(7, 6)) == []
    more = only(stock, reserve(7, 8))
    less = only(stock, reserve(7, 2))
    assert (type(more), parts(more)) == (StockReserved, [(3, 2)])
    assert (type(less), parts(less)) == (StockReleased, [(3, 1), (2, 3)])


def test_a_reservation_of_an_unknown_item_is_refused() -> None:
    with pytest.raises(ItemUnknown):
        STOCK.decide(after(THREE), reserve(7, 1, of=99))


def test_released_stems_are_available_again_once() -> None:
    stock = after(THREE, reserve(7, 6), reserve(8, 3))

    assert parts(only(stock, release(7))) == [(2, 5), (3, 1)]
    released = after(release(7), stock=stock)
    assert levels(released) == {1: (5, 0), 2: (5, 0), 3: (5, 3)}
    assert STOCK.decide(released, release(7)) == []


def test_delivered_stems_leave_the_stock_once_and_a_release_afterwards_takes_nothing() -> None:
    stock = after(THREE, reserve(7, 6), reserve(8, 3))
    event = only(stock, write_off(7))

    assert (type(event), parts(event)) == (StockWrittenOff, [(2, 5), (3, 1)])
    gone = after(write_off(7), stock=stock)
    assert levels(gone) == {1: (5, 0), 2: (0, 0), 3: (4, 3)}
    # The original released the reservations of others here.
    assert STOCK.decide(gone, release(7)) == STOCK.decide(gone, write_off(7)) == []
    assert STOCK.decide(gone, reserve(7, 6)) == []


@pytest.mark.parametrize(("is_reserved", "reserved"), [(True, 5), (False, 0)])
def test_a_rolled_back_delivery_returns_to_its_batches_once(
    is_reserved: bool, reserved: int
) -> None:
    gone = after(THREE, reserve(7, 5), write_off(7))
    event = only(gone, put_back(7, is_reserved=is_reserved))

    assert (type(event), parts(event)) == (StockReturned, [(2, 5)])
    back = after(put_back(7, is_reserved=is_reserved), stock=gone)
    assert levels(back)[2] == (5, reserved)
    assert STOCK.decide(back, put_back(7)) == []


def test_an_adjustment_may_not_take_what_orders_have_reserved() -> None:
    stock = after(THREE, reserve(7, 7))

    with pytest.raises(StockExceeded):
        STOCK.decide(stock, adjust(-4, 3))
    event = only(stock, adjust(-3, 3))
    assert isinstance(event, StockAdjusted)
    assert (event.change, event.after.quantity, event.is_count) == (-3, 2, False)
    assert STOCK.decide(stock, adjust(0)) == []


def test_a_count_sets_the_quantity() -> None:
    stock = after(THREE)
    count = Adjust(batch_id=1, count=9, reason="пересчёт", by="anna", now=NOW)

    event = only(stock, count)
    assert (event.change, event.is_count) == (4, True)
    assert STOCK.decide(after(count, stock=stock), count) == []


def test_a_batch_is_received_once() -> None:
    assert STOCK.decide(after(THREE), THREE) == []


def test_a_description_changes_and_its_recommended_price_follows_the_cost() -> None:
    stock = after(THREE)

    event = only(stock, describe(cost=Decimal("1.25"), min_quantity=3))
    assert isinstance(event, BatchDescribed)
    assert (event.batch.recommended_price, event.batch.price) == (1250, 500)
    assert event.batch.min_quantity == 3
    assert STOCK.decide(stock, describe(price=500)) == []
    with pytest.raises(ItemUnknown):
        STOCK.decide(stock, describe(99, price=1))


def test_variety_and_height_make_the_item_whatever_case_and_blanks() -> None:
    assert stock_id_of("  ФРИДОМ ", 60) == stock_id_of("Фридом", 60)
    assert stock_id_of("Фридом", 60) != stock_id_of("Фридом", 70)


def test_a_batch_moves_to_another_item_with_its_stems_and_what_was_written_off() -> None:
    stock = after(THREE, reserve(7, 2), write_off(7))
    moved = stock.batch(2)
    move = MoveOut(batch_id=2, to=stock_id_of("Эксплорер", 70), by="anna", now=NOW)
    leaving = only(stock, move)
    batch_there = replace(moved.batch, variety="Эксплорер", height_cm=70)
    arriving = MoveIn(
        batch=batch_there,
        level=moved.level,
        shares=tuple(moved.shares.values()),
        by="anna",
        now=NOW,
    )

    assert isinstance(leaving, BatchMovedOut)
    assert leaving.to == stock_id_of("Эксплорер", 70)
    assert 2 not in after(move, stock=stock).batches
    there = after(arriving)
    assert there.batch(2).level == replace(moved.level, revision=moved.level.revision + 1)
    assert there.batch(2).share(7) == OrderShare(order_id=7, reserved=0, written_off=2)
    assert levels(after(put_back(7), stock=there)) == {2: (5, 2)}
    assert STOCK.decide(there, arriving) == []


def test_a_batch_with_reserved_stems_cannot_become_another_variety() -> None:
    move = MoveOut(batch_id=2, to=stock_id_of(VARIETY, HEIGHT + 10), by="anna", now=NOW)

    with pytest.raises(BatchReserved):
        STOCK.decide(after(THREE, reserve(7, 2)), move)
