"""Carrying out a command of an order together with what it does to the stock: all or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, TypeAlias

from contracts.shop import StockId
from libs.errors import Unavailable
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import NO_STREAM, Metadata
from services.shop.context import ApiContext, Context
from services.shop.orders.domain.commands import OrderCommand, PlaceOrder
from services.shop.orders.domain.decisions import ORDER
from services.shop.orders.domain.order import Order, Step, stock_steps
from services.shop.stock.domain import commands as stock_commands
from services.shop.stock.domain.commands import ItemUnknown, Need, Release, Reserve
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


class _StockNeeded(Exception):
    """The command changes the stock of these warehouse items, which were not loaded."""

    def __init__(self, items: frozenset[int]) -> None:
        super().__init__()
        self.items = items


@dataclass(slots=True)
class _Attempt:
    """A command with the stock items it may change; `after` is the order of the last decision.

    `stocks` are those items by warehouse item, `held` those of which the order has stems.
    """

    order_id: int
    command: OrderCommand
    also: Commands
    stocks: Mapping[int, StockId]
    held: frozenset[StockId]
    after: Order | None = None

    @property
    def aggregates(self) -> list[Aggregate]:
        stocks: list[Aggregate] = [(STOCK, one) for one in {*self.held, *self.stocks.values()}]
        return [(ORDER, self.order_id), *self.also, *stocks]

    def decide(self, states: States) -> Mapping[str, Sequence[Any]]:
        """For `execute_many`. Raises what the deciders raise, and _StockNeeded."""
        before = states.of(ORDER, self.order_id)
        events = ORDER.decide(before, self.command)
        self.after = after = reduce(ORDER.evolve, events, before)
        others = {
            decider.stream(key): decider.decide(states.of(decider, key), command)
            for (decider, key), command in self.also.items()
        }
        return {ORDER.stream(self.order_id): events, **others, **self._stock(states, before, after)}

    def _stock(self, states: States, before: Order, after: Order) -> Mapping[str, Sequence[Any]]:
        steps = stock_steps(before, after)
        if not steps:
            return {}
        items = frozenset((*before.needs(), *after.needs()))
        if not items <= self.stocks.keys():
            raise _StockNeeded(items)
        wanted = [Need(warehouse_item_id=item, quantity=n) for item, n in after.needs().items()]
        needs = needs_by_stock(self.stocks, wanted)
        common = {"order_id": self.order_id, "by": self.command.by, "now": self.command.now}
        stocks = {*self.held, *self.stocks.values()}
        return order_events(
            states, {one: _commands(steps, needs.get(one), common) for one in stocks}
        )


async def carry_out(
    context: ApiContext,
    order_id: int,
    command: OrderCommand,
    metadata: Metadata,
    *,
    also: Commands | None = None,
) -> Order:
    """Append the events of an order's command, of its stock, and of the commands in `also`.

    A new order and the claims in `also` must not exist, else VersionConflict. Returns the order
    after the command. Raises what the deciders raise, StockShort, ItemUnknown, Unavailable.
    """
    new = [(ORDER, order_id), *(also or ())] if isinstance(command, PlaceOrder) else []
    expected = {decider.stream(key): NO_STREAM for decider, key in new}
    items = _needed(command)
    for attempts_left in reversed(range(ATTEMPTS)):
        stocks = await streams_of(context, metadata.tenant, items)
        is_held = stocks and not new
        held = await streams_of_order(context, metadata.tenant, order_id) if is_held else ()
        attempt = _Attempt(order_id, command, also or {}, stocks, frozenset(held))
        try:
            await execute_many(
                context.store,
                attempt.aggregates,
                attempt.decide,
                metadata=metadata,
                expected=expected,
            )
        except _StockNeeded as needed:
            # Of a command that moves an order this is the first decision.
            items = needed.items
        except ItemUnknown:
            # A batch was moved to another stock item, which the read model may not show yet.
            if not attempts_left:
                raise
            await context.consistency.caught_up("warehouse_item", metadata.tenant)
        else:
            return attempt.after or Order()
    raise Unavailable("order")


def _needed(command: OrderCommand) -> frozenset[int]:
    """The warehouse items that a new order needs; those of an order that exists it has itself."""
    lines = command.lines if isinstance(command, PlaceOrder) else ()
    return frozenset(need.warehouse_item_id for line in lines for need in line.needs)


async def load(context: Context, tenant: str, order_id: int) -> Order:
    """An order by the log. Raises OrderUnknown, LogUnavailable."""
    history = await context.store.read(tenant, ORDER.stream(order_id))
    order = ORDER.state_after(history.events)
    _ = order.placed
    return order


def _commands(
    steps: Sequence[Step], needs: tuple[Need, ...] | None, common: Mapping[str, Any]
) -> list[stock_commands.OrderCommand]:
    """The commands of one stock item; without `needs` the order needs nothing of it any more."""
    if needs is None:
        return [Release(**common)] if Release in steps else []
    return [
        Reserve(needs=needs, **common) if step is Reserve else step(**common)
        for step in steps
        # A reservation replaces the one before.
        if step is not Release or Reserve not in steps
    ]
