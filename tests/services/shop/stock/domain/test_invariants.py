"""Whatever is done with stock and orders, in whatever order: every stem is accounted for."""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.shop import BatchMovedIn, BatchReceived, StockAdjusted
from services.shop.stock.domain.commands import (
    Adjust,
    BatchReserved,
    Describe,
    MoveIn,
    MoveOut,
    Need,
    Release,
    Reserve,
    Return,
    StockExceeded,
    StockShort,
    WriteOff,
)
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.domain.stock import ShareEvent, Stock, stems_gained, stock_id_of
from tests.services.shop.stock.batches import NOW, batch, receive

HEIGHTS = (60, 70)
orders = st.integers(1, 4)
stems = st.integers(0, 12)
picks = st.integers(0, 50)
BY: Any = {"by": "anna", "now": NOW}


class Shop(RuleBasedStateMachine):
    """Two stock items beside sums of everything that happened, which they must equal."""

    def __init__(self) -> None:
        super().__init__()
        self.stocks = {height: Stock() for height in HEIGHTS}
        self.batches = 0
        self.moved: Counter[int] = Counter()
        self.reserved: dict[int, Counter[int]] = defaultdict(Counter)
        self.gone: dict[int, Counter[int]] = defaultdict(Counter)

    def run(self, height: int, command: Any) -> list[Any]:
        """Execute a command twice; the repetition must change nothing."""
        events = self.apply(height, STOCK.decide(self.stocks[height], command))
        if not (isinstance(command, MoveOut) or (isinstance(command, Adjust) and command.change)):
            assert STOCK.decide(self.stocks[height], command) == []
        return events

    def apply(self, height: int, events: list[Any]) -> list[Any]:
        for event in events:
            self.stocks[height] = STOCK.evolve(self.stocks[height], event)
            self.record(event)
        return events

    def record(self, event: Any) -> None:
        if isinstance(event, BatchReceived):
            self.moved[event.batch.batch_id] += event.after.quantity
        elif isinstance(event, StockAdjusted):
            self.moved[event.batch_id] += event.change
        elif isinstance(event, ShareEvent):
            reserved, written_off = stems_gained(event)
            for one in event.allocations:
                self.moved[one.batch_id] -= one.quantity * written_off
                self.reserved[event.order_id][one.batch_id] += one.quantity * reserved
                self.gone[event.order_id][one.batch_id] += one.quantity * written_off

    def some(self, pick: int) -> tuple[int, int]:
        """Height and id of a batch."""
        known = [(height, one) for height in HEIGHTS for one in self.stocks[height].batches]
        return known[pick % len(known)]

    def of_order(self, order: int, height: int, gone: bool = False) -> int:
        ledger = self.gone if gone else self.reserved
        return sum(ledger[order][one] for one in self.stocks[height].batches)

    @rule(height=st.sampled_from(HEIGHTS), quantity=stems, age=st.integers(0, 5))
    def receive(self, height: int, quantity: int, age: int) -> None:
        self.batches += 1
        self.run(height, receive((batch(self.batches, age=age, height_cm=height), quantity)))

    @precondition(lambda self: self.batches)
    @rule(pick=picks, order=orders, quantity=stems)
    def place_or_edit(self, pick: int, order: int, quantity: int) -> None:
        height, number = self.some(pick)
        stock = self.stocks[height]
        need = Need(warehouse_item_id=number, quantity=quantity)
        before = self.of_order(order, height)
        missing = quantity - before - self.of_order(order, height, gone=True)
        available = sum(one.available for one in stock.batches.values() if one.is_eligible)
        try:
            self.run(height, Reserve(order_id=order, needs=(need,), **BY))
        except StockShort as refusal:
            short = sum(refusal.missing.values())
            assert self.stocks[height] is stock
            assert short == missing - available > 0
            return
        assert self.of_order(order, height) == max(0, before + missing)
        self.assert_oldest_first(stock, self.stocks[height], order)

    def assert_oldest_first(self, before: Stock, after: Stock, order: int) -> None:
        """A batch gives only if nothing is left of those for sale that were delivered earlier."""
        in_order = [one.batch.batch_id for one in before.oldest_first()]
        giving = [
            number
            for number in in_order
            if after.batches[number].share(order).reserved
            > before.batches[number].share(order).reserved
        ]
        earlier = in_order[: in_order.index(giving[-1])] if giving else []
        assert not [number for number in earlier if after.batches[number].is_eligible]

    @rule(height=st.sampled_from(HEIGHTS), order=orders)
    def cancel(self, height: int, order: int) -> None:
        gone = self.of_order(order, height, gone=True)
        self.run(height, Release(order_id=order, **BY))
        assert self.of_order(order, height) == 0
        assert self.of_order(order, height, gone=True) == gone

    @rule(height=st.sampled_from(HEIGHTS), order=orders)
    def deliver(self, height: int, order: int) -> None:
        both = self.of_order(order, height) + self.of_order(order, height, gone=True)
        self.run(height, WriteOff(order_id=order, **BY))
        assert self.of_order(order, height) == 0
        assert self.of_order(order, height, gone=True) == both

    @rule(height=st.sampled_from(HEIGHTS), order=orders, is_reserved=st.booleans())
    def roll_back(self, height: int, order: int, is_reserved: bool) -> None:
        reserved, gone = self.of_order(order, height), self.of_order(order, height, gone=True)
        self.run(height, Return(order_id=order, is_reserved=is_reserved, **BY))
        assert self.of_order(order, height, gone=True) == 0
        assert self.of_order(order, height) == reserved + (gone if is_reserved else 0)

    @precondition(lambda self: self.batches)
    @rule(pick=picks, change=st.integers(-12, 12), is_count=st.booleans())
    def correct(self, pick: int, change: int, is_count: bool) -> None:
        height, number = self.some(pick)
        stocked, text = self.stocks[height].batch(number), {"reason": "брак", **BY}
        command: Any = Adjust(batch_id=number, change=change, **text)
        if is_count:
            quantity = stocked.level.quantity + change
            command = Adjust(batch_id=number, count=quantity, **text)
        try:
            self.run(height, command)
        except StockExceeded:
            assert stocked.available + change < 0
        else:
            assert self.stocks[height].batch(number).available == stocked.available + change

    @precondition(lambda self: self.batches)
    @rule(pick=picks, flag=st.sampled_from(["to_write_off", "hidden"]), value=st.booleans())
    def describe(self, pick: int, flag: str, value: bool) -> None:
        height, number = self.some(pick)
        self.run(height, Describe(batch_id=number, changes={flag: value}, **BY))

    @precondition(lambda self: self.batches)
    @rule(pick=picks)
    def move(self, pick: int) -> None:
        height, number = self.some(pick)
        other = HEIGHTS[1 - HEIGHTS.index(height)]
        stocked = self.stocks[height].batch(number)
        there = replace(stocked.batch, height_cm=other)
        try:
            self.run(height, MoveOut(batch_id=number, to=stock_id_of(there.variety, other), **BY))
        except BatchReserved:
            assert stocked.level.reserved
            return
        shares = tuple(stocked.shares.values())
        events = self.run(other, MoveIn(batch=there, level=stocked.level, shares=shares, **BY))
        assert isinstance(events[0], BatchMovedIn)

    @invariant()
    def every_stem_is_accounted_for(self) -> None:
        for stock in self.stocks.values():
            for number, one in stock.batches.items():
                assert 0 <= one.level.reserved <= one.level.quantity
                assert one.level.quantity == self.moved[number]
                reserved = {order: self.reserved[order][number] for order in range(1, 5)}
                gone = {order: self.gone[order][number] for order in range(1, 5)}
                assert one.level.reserved == sum(reserved.values())
                shares = {order: one.share(order) for order in range(1, 5)}
                assert {o: share.reserved for o, share in shares.items()} == reserved
                assert {o: share.written_off for o, share in shares.items()} == gone

    @invariant()
    def every_batch_is_in_one_item(self) -> None:
        everywhere = [number for stock in self.stocks.values() for number in stock.batches]
        assert sorted(everywhere) == list(range(1, self.batches + 1))


def test_whatever_happens_to_stock_and_orders_every_stem_is_accounted_for() -> None:
    run_state_machine_as_test(
        Shop, settings=settings(max_examples=200, stateful_step_count=30, deadline=None)
    )
