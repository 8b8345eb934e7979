"""Carrying out a command of an order together with what it does to the stock: all or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, TypeAlias

from contracts.shop import ShopEvent, StockId
from libs.errors import Unavailable
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import NO_STREAM, Metadata
from services.shop.context import ApiContext, Context
from services.shop.orders.domain.commands import OrderCommand, PlaceOrder, SetLines
from services.shop.orders.domain.decisions import ORDER
from services.shop.orders.domain.order import Order, Step, stock_steps
from services.shop.stock.domain import commands as stock_commands
from services.shop.stock.domain.commands import Need
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.handlers.item import (
    needs_by_stock,
    order_events,
    streams_of,
    streams_of_order,
)

ATTEMPTS: Final = 5


Commands: TypeAlias = Mapping[tuple[Decider[Any, Any, Any], object], Any]
"""Commands of other aggregates, by decider and id."""


class _StockUnknown(Exception):
    """The command needs a stock item that it did not load, since the order changed meanwhile."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An order before and after a command."""

    before: Order
    after: Order


@dataclass(frozen=True, slots=True)
class _Stocks:
    """The stock items that a command may change: by warehouse item, and all of the order."""

    by_item: Mapping[int, StockId]
    of_order: frozenset[StockId]

    @property
    def ids(self) -> frozenset[StockId]:
        return self.of_order | {*self.by_item.values()}


@dataclass(slots=True)
class _Attempt:
    """A command with the stock items it may change. `carried` is the last decision."""

    order_id: int
    command: OrderCommand
    metadata: Metadata
    stocks: _Stocks
    also: Commands
    carried: Carried | None = None

    @property
    def aggregates(self) -> list[Aggregate]:
        stocks: list[Aggregate] = [(STOCK, stock_id) for stock_id in self.stocks.ids]
        return [(ORDER, self.order_id), *self.also, *stocks]

    def decide(self, states: States) -> Mapping[str, Sequence[Any]]:
        """For `execute_many`. Raises what the deciders raise, and _StockUnknown."""
        before = states.of(ORDER, self.order_id)
        events = ORDER.decide(before, self.command)
        after = reduce(ORDER.evolve, events, before)
        self.carried = Carried(before, after)
        others = {
            decider.stream(key): decider.decide(states.of(decider, key), command)
            for (decider, key), command in self.also.items()
        }
        return {ORDER.stream(self.order_id): events, **others, **self._stock(states, before, after)}

    def _stock(
        self, states: States, before: Order, after: Order
    ) -> Mapping[str, Sequence[ShopEvent]]:
        steps = stock_steps(before, after)
        if not steps:
            return {}
        stocks = self.stocks
        if not {*before.needs(), *after.needs()} <= stocks.by_item.keys():
            raise _StockUnknown
        needs = needs_by_stock(
            stocks.by_item,
            [Need(warehouse_item_id=item, quantity=n) for item, n in after.needs().items()],
        )
        by, now = self.metadata.actor or "", self.command.now
        common = {"order_id": self.order_id, "by": by, "now": now}
        commands = {one: _commands(steps, needs.get(one), common) for one in stocks.ids}
        return order_events(states, commands)


async def carry_out(
    context: ApiContext,
    order_id: int,
    command: OrderCommand,
    metadata: Metadata,
    *,
    also: Commands | None = None,
    is_new: bool = False,
) -> Carried:
    """Append the events of an order's command, of its stock, and of the commands in `also`.

    With `is_new` neither the order nor those in `also` may exist, else VersionConflict. Raises what
    the deciders raise, StockShort, ItemUnknown, Unavailable.
    """
    new = [(ORDER, order_id), *(also or ())] if is_new else []
    expected = {decider.stream(key): NO_STREAM for decider, key in new}
    for _ in range(ATTEMPTS):
        order = Order() if is_new else await load(context, metadata.tenant, order_id)
        stocks = await _stocks(context, metadata.tenant, order, command)
        attempt = _Attempt(order_id, command, metadata, stocks, also or {})
        try:
            await execute_many(
                context.store,
                attempt.aggregates,
                attempt.decide,
                metadata=metadata,
                expected=expected,
            )
        except _StockUnknown:
            continue
        if attempt.carried is not None:
            return attempt.carried
    raise Unavailable("order")


async def load(context: Context, tenant: str, order_id: int) -> Order:
    """An order by the log. Raises OrderUnknown, LogUnavailable."""
    history = await context.store.read(tenant, ORDER.stream(order_id))
    order = ORDER.state_after(history.events)
    _ = order.placed
    return order


async def _stocks(context: ApiContext, tenant: str, order: Order, command: OrderCommand) -> _Stocks:
    """The stock items that the order has, and those that it may have after the command."""
    lines = command.lines if isinstance(command, PlaceOrder | SetLines) else ()
    items = {need.warehouse_item_id for line in lines for need in line.needs}
    items |= {*order.needs()}
    if not items:
        return _Stocks({}, frozenset())
    exists = order.details is not None
    held = await streams_of_order(context, tenant, order.order_id) if exists else frozenset()
    return _Stocks(await streams_of(context, tenant, items), held)


def _commands(
    steps: Sequence[Step], needs: tuple[Need, ...] | None, common: Mapping[str, Any]
) -> list[stock_commands.OrderCommand]:
    """The commands of one stock item; without `needs` the order needs nothing of it any more."""
    if needs is None:
        return [stock_commands.Release(**common)] if Step.RELEASE in steps else []
    return [_command(step, needs, common) for step in steps if step != Step.RELEASE] or [
        stock_commands.Release(**common)
    ]


def _command(
    step: Step, needs: tuple[Need, ...], common: Mapping[str, Any]
) -> stock_commands.OrderCommand:
    match step:
        case Step.RESERVE:
            return stock_commands.Reserve(needs=needs, **common)
        case Step.WRITE_OFF:
            return stock_commands.WriteOff(**common)
        case Step.RETURN:
            return stock_commands.Return(**common)
        case Step.RELEASE:
            return stock_commands.Release(**common)
