"""Commands of the catalogue, and the prices of what is ordered from it."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.shop import Component, PriceId, ProductDetails, ShopEvent
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.execute_many import States, execute_many
from libs.eventsourcing.log import NO_STREAM, EventIdReused, Metadata
from libs.eventsourcing.store import new_event_id
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext, Context
from services.shop.products.domain import (
    PRODUCT,
    STARTERS,
    AddIngredient,
    AddProduct,
    Change,
    Command,
    PricedLine,
    Product,
    ProductUnknown,
    RemoveProduct,
    StockedItem,
    WarehouseItemUnknown,
    priced_line,
)
from services.shop.products.prices.domain import PRICE, AnnouncePrice

NAMESPACE: Final = UUID("6d0f4f0e-6a0c-5b5a-9f0b-3a1f6c2d7e41")
NUMBERS: Final = Numbers("product_number")


async def load(context: Context, tenant: str, product_id: int) -> Product:
    """A product as the log has it. Raises ProductUnknown, LogUnavailable."""
    history = await context.store.read(tenant, PRODUCT.stream(product_id))
    product = PRODUCT.state_after(history.events)
    if product.details is None:
        raise ProductUnknown
    return product


async def lines(
    context: Context, tenant: str, wanted: Sequence[tuple[int, int]]
) -> list[PricedLine]:
    """The lines of an order, given the product and the quantity of each, at the prices of now.

    Raises ProductUnknown, ProductInactive, LogUnavailable.
    """
    products = await load_many(context, tenant, {number for number, _ in wanted})
    return [priced_line(products[number], quantity) for number, quantity in wanted]


async def load_many(
    context: Context, tenant: str, product_ids: Collection[int]
) -> Mapping[int, Product]:
    """Products as the log has them, in one query; without details if there is none.

    Raises LogUnavailable.
    """
    numbers = {PRODUCT.stream(number): number for number in product_ids}
    products = dict.fromkeys(product_ids, PRODUCT.initial)
    for event in await context.store.log.read_streams(tenant, dict.fromkeys(numbers, 0)):
        number = numbers[event.stream]
        products[number] = PRODUCT.evolve(products[number], context.store.decode(event))
    return products


async def add(
    context: Context,
    details: ProductDetails,
    metadata: Metadata,
    *,
    components: Sequence[Mapping[str, Any]] = (),
    command_id: UUID | None = None,
) -> Product:
    """Add a product under the next number, with the values of its components.

    Raises EventIdReused for a second product with the same `command_id`, and LogUnavailable.
    """
    number = await NUMBERS.next(context.system)
    numbered = tuple(Component(component_id=at, **one) for at, one in enumerate(components, 1))
    added = AddProduct(product_id=number, details=details, components=numbered)
    return await _executed(context, number, added, metadata, command_id, is_new=True)


async def add_starters(context: Context, metadata: Metadata) -> None:
    """Add the products with which a new shop begins, each once, however often it is repeated.

    Raises LogUnavailable: then some may be added.
    """
    for at, details in enumerate(STARTERS):
        # A repetition has another product number, but the same event ids.
        command_id = uuid5(NAMESPACE, f"starter {metadata.tenant} {at}")
        with suppress(EventIdReused):
            await add(context, details, metadata, command_id=command_id)


async def change(context: Context, product_id: int, change: Change, metadata: Metadata) -> Product:
    """Change a product, and return it as it was right after the change.

    Raises what `domain.decide` raises, and LogUnavailable.
    """
    return await _executed(context, product_id, change, metadata)


async def add_ingredient(
    context: ApiContext, product_id: int, content: Mapping[str, Any], metadata: Metadata
) -> Product:
    """Let a product take a warehouse item, and return the product.

    Raises WarehouseItemUnknown if the shop has no such item, what `domain.decide` raises,
    Unavailable and LogUnavailable.
    """
    item = content["warehouse_item_id"]
    if context.hooks.stocked_items and not await stocked(context, metadata.tenant, [item]):
        raise WarehouseItemUnknown
    return await _executed(context, product_id, AddIngredient(content), metadata)


async def stocked(
    context: ApiContext, tenant: str, items: Sequence[int]
) -> Mapping[int, StockedItem]:
    """The warehouse items of a shop that exist, by id. Raises Unavailable."""
    query = context.hooks.stocked_items
    return await query(context.reading, tenant, items) if query and items else {}


async def remove(context: Context, product_id: int, metadata: Metadata) -> Product:
    """Remove a product from the catalogue, and return its last state, off sale.

    Raises ProductUnknown, LogUnavailable.
    """
    product = await load(context, metadata.tenant, product_id)
    await _executed(context, product_id, RemoveProduct(), metadata)
    details = replace(product.details, is_active=False) if product.details else None
    return replace(product, details=details)


def new_price_id() -> PriceId:
    """The id of an announcement that may follow."""
    return PriceId(new_event_id())


def aggregates(product_id: int) -> list[tuple[Decider[Any, Any, ShopEvent], object]]:
    """A product and the announcements of its price, which change together."""
    return [(PRODUCT, product_id), (PRICE, product_id)]


def decide_with_price(
    states: States, product_id: int, command: Command, price_id: PriceId, currency: str
) -> dict[str, Sequence[ShopEvent]]:
    """The events of a command by stream, with the announcement of another price.

    Raises what `domain.decide` raises.
    """
    product = states.of(PRODUCT, product_id)
    events = PRODUCT.decide(product, command)
    details = reduce(PRODUCT.evolve, events, product).details
    announced: Sequence[ShopEvent] = []
    if details is not None:
        announce = AnnouncePrice(
            details=details, currency=currency, price_id=price_id, by=command.by, now=command.now
        )
        announced = PRICE.decide(states.of(PRICE, product_id), announce)
    return {PRODUCT.stream(product_id): events, PRICE.stream(product_id): announced}


async def _executed(
    context: Context,
    number: int,
    change: AddProduct | Change,
    metadata: Metadata,
    command_id: UUID | None = None,
    *,
    is_new: bool = False,
) -> Product:
    named = aggregates(number)
    expected = {decider.stream(key): NO_STREAM for decider, key in named} if is_new else {}
    command = Command(change=change, by=metadata.actor or "", now=context.clock())
    price_id, currency = new_price_id(), context.settings.currency
    executed = await execute_many(
        context.store,
        named,
        lambda states: decide_with_price(states, number, command, price_id, currency),
        metadata=metadata,
        expected=expected,
        command_id=command_id,
    )
    stream = PRODUCT.stream(number)
    history = await context.store.read(metadata.tenant, stream)
    return PRODUCT.state_after(history.events[: executed.versions[stream]])
