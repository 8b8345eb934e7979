"""Commands about batches: received by hand, corrected, described anew; and the stock of orders.

An order and its stock are appended together: `streams_of` and `needs_by_stock` say which aggregates
`execute_many` needs, and `order_events` decides for all of them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from contracts.shop import (
    Batch,
    BatchReceived,
    ShopEvent,
    StockAdjusted,
    StockId,
)
from libs.errors import Refused
from libs.eventsourcing.claims import CLAIM, ClaimKey, Taken, claim_id
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import Metadata
from libs.names import comparable
from libs.postgres.pool import tenant_transaction
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext
from services.shop.stock.domain.commands import (
    Adjust,
    Count,
    Describe,
    ItemUnknown,
    MoveIn,
    MoveOut,
    Need,
    NewBatch,
    OrderCommand,
    Receive,
    StockCommand,
    StockShort,
)
from services.shop.stock.domain.decisions import STOCK
from services.shop.stock.domain.stock import Stock, StockedBatch, stock_id_of
from services.shop.stock.read_models import item as items

ITEM_IDS: Final = Numbers("warehouse_item_ids")
MANUAL: Final = "Корректировка количества"

Events: TypeAlias = dict[str, Sequence[Any]]
"""Events to append, by stream."""


class SkuTaken(Refused):
    """Товар с таким артикулом уже есть"""


async def streams_of(
    context: ApiContext, tenant: str, item_ids: Collection[int]
) -> Mapping[int, StockId]:
    """The stock items of batches. Raises ItemUnknown, Unavailable."""
    if not item_ids:
        return {}
    async with tenant_transaction(context.reading, tenant) as connection:
        known = await items.find(connection, item_ids)
    if len(known) < len({*item_ids}):
        raise ItemUnknown
    return {number: item.stock_id for number, item in known.items()}


async def streams_of_order(context: ApiContext, tenant: str, order_id: int) -> frozenset[StockId]:
    """The stock items of which an order has stems, by the read model. Raises Unavailable.

    They are those of its needs, unless a batch was moved to another one since.
    """
    async with tenant_transaction(context.reading, tenant) as connection:
        return await items.stocks_of_order(connection, order_id)


def needs_by_stock(
    streams: Mapping[int, StockId], needs: Iterable[Need]
) -> Mapping[StockId, tuple[Need, ...]]:
    """The needs of an order by stock item; `streams` are those of `streams_of`."""
    by_stock: dict[StockId, tuple[Need, ...]] = {}
    for need in needs:
        stock_id = streams[need.warehouse_item_id]
        by_stock[stock_id] = (*by_stock.get(stock_id, ()), need)
    return by_stock


def order_events(
    states: States, commands: Mapping[StockId, Sequence[OrderCommand]]
) -> Mapping[str, Sequence[ShopEvent]]:
    """The events of an order's commands by stream, for the `decide` of `execute_many`.

    Pure. Raises one StockShort with all that is missing.
    """
    events: dict[str, Sequence[ShopEvent]] = {}
    shortages: list[StockShort] = []
    for stock_id, of_stock in commands.items():
        try:
            events[STOCK.stream(stock_id)], _ = _run(states.of(STOCK, stock_id), of_stock)
        except StockShort as shortage:
            shortages.append(shortage)
    if shortages:
        raise StockShort.of(shortages)
    return events


async def receive(
    context: ApiContext,
    batch: Batch,
    quantity: int,
    metadata: Metadata,
    *,
    command_id: UUID | None = None,
) -> items.Item:
    """Take a batch into stock by hand; its id is new. Raises SkuTaken, LogUnavailable."""
    new = replace(batch, batch_id=await ITEM_IDS.next(context.system))
    command = Receive(
        batches=(NewBatch(batch=new, quantity=quantity),),
        reference_type="manual",
        reference_id=None,
        by=metadata.actor or "",
        now=context.clock(),
    )
    aggregates, decide = receiving({stock_id_of(new.variety, new.height_cm): command})
    executed = await execute_many(
        context.store, aggregates, decide, metadata=metadata, command_id=command_id
    )
    events = [event for new in executed.events.values() for event in new]
    event = next(one for one in events if isinstance(one, BatchReceived))
    return items.Item(
        stock_id=event.stock_id,
        batch=event.batch,
        quantity=event.after.quantity,
        reserved=0,
        updated_at=event.received_at,
        updated_by=event.received_by,
    )


def receiving(commands: Mapping[StockId, Receive]) -> tuple[list[Aggregate], Any]:
    """The aggregates and the decision by which batches come in, with claims of their skus.

    The decision raises SkuTaken.
    """
    claims = {
        claim_id("sku", comparable(new.batch.sku)): f"{new.batch.batch_id}"
        for command in commands.values()
        for new in command.batches
    }
    aggregates: list[Aggregate] = [(STOCK, stock_id) for stock_id in commands]
    aggregates += [(CLAIM, claim) for claim in claims]
    if len(claims) < sum(len(command.batches) for command in commands.values()):
        raise SkuTaken

    def decide(states: States) -> Events:
        events: Events = {}
        for claim, owner in claims.items():
            try:
                claimed = CLAIM.decide(states.of(CLAIM, claim), ClaimKey(owner))
            except Taken as taken:
                raise SkuTaken from taken
            events[CLAIM.stream(claim)] = claimed
        for stock_id, command in commands.items():
            state = states.of(STOCK, stock_id)
            events[STOCK.stream(stock_id)] = STOCK.decide(state, command)
        return events

    return aggregates, decide


async def adjust(
    context: ApiContext,
    item_id: int,
    change: int,
    reason: str,
    metadata: Metadata,
    *,
    command_id: UUID | None = None,
) -> StockAdjusted:
    """Correct the quantity of a batch by `change`, which is not 0.

    Raises ItemUnknown, StockExceeded, LogUnavailable.
    """
    stock_id = (await streams_of(context, metadata.tenant, [item_id]))[item_id]
    command = Adjust(
        batch_id=item_id,
        change=change,
        reason=reason,
        by=metadata.actor or "",
        now=context.clock(),
    )
    executed = await execute_many(
        context.store,
        [(STOCK, stock_id)],
        lambda states: {STOCK.stream(stock_id): STOCK.decide(states.of(STOCK, stock_id), command)},
        metadata=metadata,
        command_id=command_id,
    )
    (event,) = executed.events[STOCK.stream(stock_id)]
    if not isinstance(event, StockAdjusted):
        raise AssertionError("an adjustment has one event")
    return event


async def change(
    context: ApiContext,
    item_id: int,
    changes: Mapping[str, Any],
    quantity: int | None,
    metadata: Metadata,
) -> items.Item:
    """Change the description of a batch, and set its quantity if one is given.

    With another variety or height the batch moves to that stock item. Raises ItemUnknown,
    StockExceeded, BatchReserved, LogUnavailable.
    """
    async with tenant_transaction(context.reading, metadata.tenant) as connection:
        item = (await items.find(connection, [item_id])).get(item_id)
    if item is None:
        raise ItemUnknown
    change = _Change(item=item, changes=changes, quantity=quantity, metadata=metadata)
    after: list[StockedBatch] = []

    def decide(states: States) -> Events:
        events, stock = change.decide(states, now)
        after.append(stock.batch(item_id))
        return events

    now = context.clock()
    executed = await execute_many(context.store, change.aggregates, decide, metadata=metadata)
    changed = replace(
        item,
        batch=after[-1].batch,
        quantity=after[-1].level.quantity,
        reserved=after[-1].level.reserved,
    )
    if executed.token is None:
        return changed
    return replace(changed, updated_at=now, updated_by=metadata.actor or "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Change:
    """A change of an item's description and quantity, which may make it one of another stock item.

    A `quantity` of None stays.
    """

    item: items.Item
    changes: Mapping[str, Any]
    quantity: int | None
    metadata: Metadata

    @property
    def batch(self) -> Batch:
        """The description after the change, but for prices that follow from others."""
        return replace(self.item.batch, **self.changes)

    @property
    def target(self) -> StockId:
        return stock_id_of(self.batch.variety, self.batch.height_cm)

    @property
    def aggregates(self) -> list[Aggregate]:
        return [(STOCK, one) for one in {self.item.stock_id, self.target}]

    def decide(self, states: States, now: datetime) -> tuple[Events, Stock]:
        """The events, and the stock item after them that has the batch."""
        by: dict[str, Any] = {"by": self.metadata.actor or "", "now": now}
        number, source = self.item.batch.batch_id, states.of(STOCK, self.item.stock_id)
        commands: list[StockCommand] = []
        if self.changes:
            commands.append(Describe(batch_id=number, changes=self.changes, **by))
        if self.quantity is not None:
            count = Count(batch_id=number, quantity=self.quantity, reason=MANUAL, **by)
            commands.append(count)
        if self.target == self.item.stock_id:
            events, stock = _run(source, commands)
            return {STOCK.stream(self.target): events}, stock
        kind: dict[str, Any] = {"variety": self.batch.variety, "height_cm": self.batch.height_cm}
        leaving, _ = _run(source, [MoveOut(batch_id=number, to=self.target, **by)])
        stocked = source.batch(number)
        enter = MoveIn(
            batch=replace(stocked.batch, **kind),
            level=stocked.level,
            shares=tuple(stocked.shares.values()),
            **by,
        )
        entering, stock = _run(states.of(STOCK, self.target), [enter, *commands])
        streams = STOCK.stream(self.item.stock_id), STOCK.stream(self.target)
        return dict(zip(streams, (leaving, entering), strict=True)), stock


def _run(stock: Stock, commands: Iterable[StockCommand]) -> tuple[list[ShopEvent], Stock]:
    """The events of commands one after the other, and the state after them."""
    events: list[ShopEvent] = []
    for command in commands:
        new = STOCK.decide(stock, command)
        for event in new:
            stock = STOCK.evolve(stock, event)
        events += new
    return events, stock
