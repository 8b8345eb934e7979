"""Commands about batches: received, corrected, described anew; and the stock of orders.

An order and its stock are appended together: `streams_of` and `needs_by_stock` say which aggregates
`execute_many` needs, and `order_events` decides for all of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, Final, TypeAlias
from uuid import UUID

from contracts.shop import GoodsReceived, ShopEvent, StockId
from libs.errors import Refused
from libs.eventsourcing.claims import CLAIM, ClaimKey, Taken, claim_id
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import Metadata
from libs.names import comparable
from libs.postgres.pool import tenant_transaction
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext, Authorship, authorship
from services.shop.stock.domain.commands import (
    Adjust,
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
from services.shop.stock.domain.decisions import STOCK, described
from services.shop.stock.domain.receipt import RECEIPT
from services.shop.stock.domain.stock import Stock, stock_id_of
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
    return {number: StockId(row["stock_id"]) for number, row in known.items()}


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
    events: Events = {}
    shortages: list[StockShort] = []
    for stock_id, of_stock in commands.items():
        try:
            events[STOCK.stream(stock_id)] = _run(states.of(STOCK, stock_id), of_stock)
        except StockShort as shortage:
            shortages.append(shortage)
    if shortages:
        raise StockShort.of(shortages)
    return events


async def receive(
    context: ApiContext,
    batches: Sequence[NewBatch],
    metadata: Metadata,
    command_id: UUID,
    goods: GoodsReceived | None = None,
) -> list[ShopEvent]:
    """Take batches into stock, by hand or with the receipt `goods`: all or nothing.

    Returns the events, of a repeated command those of the first time. Raises SkuTaken,
    LogUnavailable.
    """
    claims = {claim_id("sku", comparable(new.batch.sku)): new.batch.batch_id for new in batches}
    if len(claims) < len(batches):
        raise SkuTaken
    number = goods.receipt_id if goods else None
    common = {"reference_type": goods.kind if goods else "manual", "reference_id": number}
    by_stock = _by_stock(batches, {**common, **authorship(context, metadata)})

    def decide(states: States) -> Events:
        events: Events = {RECEIPT.stream(number): [goods]} if goods else {}
        for claim, owner in claims.items():
            command = ClaimKey(str(owner))
            events[CLAIM.stream(claim)] = CLAIM.decide(states.of(CLAIM, claim), command)
        for stock_id, received in by_stock.items():
            events[STOCK.stream(stock_id)] = STOCK.decide(states.of(STOCK, stock_id), received)
        return events

    aggregates: list[Aggregate] = [(STOCK, one) for one in by_stock]
    aggregates += [(CLAIM, one) for one in claims]
    aggregates += [(RECEIPT, number)] if goods else []
    try:
        executed = await execute_many(
            context.store, aggregates, decide, metadata=metadata, command_id=command_id
        )
    except Taken as taken:
        raise SkuTaken from taken
    return [event for events in executed.events.values() for event in events]


def _by_stock(batches: Sequence[NewBatch], common: Mapping[str, Any]) -> Mapping[StockId, Receive]:
    by_stock = defaultdict[StockId, list[NewBatch]](list)
    for new in batches:
        by_stock[stock_id_of(new.batch.variety, new.batch.height_cm)].append(new)
    return {one: Receive(batches=tuple(new), **common) for one, new in by_stock.items()}


async def adjust(
    context: ApiContext,
    item_id: int,
    change: int,
    reason: str,
    metadata: Metadata,
    command_id: UUID,
) -> ShopEvent:
    """Correct the quantity of a batch by `change`, which is not 0. Safe to repeat.

    Raises ItemUnknown, StockExceeded, LogUnavailable.
    """
    stock_id = (await streams_of(context, metadata.tenant, [item_id]))[item_id]
    author = authorship(context, metadata)
    command = Adjust(batch_id=item_id, change=change, reason=reason, **author)
    stream = STOCK.stream(stock_id)
    executed = await execute_many(
        context.store,
        [(STOCK, stock_id)],
        lambda states: {stream: STOCK.decide(states.of(STOCK, stock_id), command)},
        metadata=metadata,
        command_id=command_id,
    )
    (event,) = executed.events[stream]
    return event


async def change(
    context: ApiContext,
    item_id: int,
    changes: Mapping[str, Any],
    quantity: int | None,
    metadata: Metadata,
) -> None:
    """Change the description of a batch, and set its quantity if one is given.

    With another variety or height the batch moves to that stock item. Raises ItemUnknown,
    StockExceeded, BatchReserved, LogUnavailable.
    """
    async with tenant_transaction(context.reading, metadata.tenant) as connection:
        row = (await items.find(connection, [item_id])).get(item_id)
    if row is None:
        raise ItemUnknown
    source, kind = (
        StockId(row["stock_id"]),
        {"variety": row["variety"], "height_cm": row["height_cm"]},
    )
    target = stock_id_of(**{name: changes.get(name, value) for name, value in kind.items()})
    author = authorship(context, metadata)
    count: list[StockCommand] = []
    if quantity is not None:
        count = [Adjust(batch_id=item_id, count=quantity, reason=MANUAL, **author)]

    def decide(states: States) -> Events:
        stock = states.of(STOCK, source)
        if target == source:
            describe = Describe(batch_id=item_id, changes=changes, **author)
            return {STOCK.stream(source): _run(stock, [describe, *count])}
        leave = MoveOut(batch_id=item_id, to=target, **author)
        enter = _arrival(stock, item_id, changes, author)
        return {
            STOCK.stream(source): _run(stock, [leave]),
            STOCK.stream(target): _run(states.of(STOCK, target), [enter, *count]),
        }

    aggregates: list[Aggregate] = [(STOCK, one) for one in {source, target}]
    await execute_many(context.store, aggregates, decide, metadata=metadata)


def _arrival(stock: Stock, item_id: int, changes: Mapping[str, Any], author: Authorship) -> MoveIn:
    stocked = stock.batch(item_id)
    return MoveIn(
        batch=described(stocked.batch, changes),
        level=stocked.level,
        shares=tuple(stocked.shares.values()),
        **author,
    )


def _run(stock: Stock, commands: Iterable[StockCommand]) -> list[ShopEvent]:
    """The events of commands one after the other."""
    events: list[ShopEvent] = []
    for command in commands:
        new = STOCK.decide(stock, command)
        stock = reduce(STOCK.evolve, new, stock)
        events += new
    return events
