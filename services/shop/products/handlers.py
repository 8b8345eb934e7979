"""Commands of the catalogue, many new prices at once, and the prices of what is ordered."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.shop import Component, PriceId, ProductDetails, ShopEvent
from libs.errors import Refused, Unavailable
from libs.eventsourcing.claims import CLAIM, ClaimCommand, ClaimKey, ReleaseKey, Taken, claim_id
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import NO_STREAM, EventIdReused, Metadata
from libs.eventsourcing.store import new_event_id
from libs.postgres.sequences import Sequence as Numbers
from services.shop.context import ApiContext, Context, authorship
from services.shop.products import read_models
from services.shop.products.domain import (
    INGREDIENTS,
    PRICE,
    PRODUCT,
    STARTERS,
    AddPart,
    AddProduct,
    Change,
    Command,
    PricedLine,
    Product,
    ProductUnknown,
    RemoveProduct,
    SetPrice,
    WarehouseItemUnknown,
    price_after,
    priced_line,
)

NAMESPACE: Final = UUID("6d0f4f0e-6a0c-5b5a-9f0b-3a1f6c2d7e41")
NUMBERS: Final = Numbers("product_number")
ATTEMPTS: Final = 5
AT_ONCE: Final = 250
"""The products of one append."""


class ArticleTaken(Refused):
    """Товар с таким артикулом уже есть"""


class _ArticlesNeeded(Exception):
    """The command changes the article, so that it needs the claims of the old and the new one."""

    def __init__(self, articles: Collection[int]) -> None:
        super().__init__()
        self.articles = articles


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
    return await change(context, number, added, metadata, command_id=command_id)


async def add_starters(context: Context, metadata: Metadata) -> None:
    """Add the products with which a new shop begins, each once, however often it is repeated.

    Raises LogUnavailable: then some may be added.
    """
    for at, details in enumerate(STARTERS):
        # A repetition has another product number, but the same event ids.
        command_id = uuid5(NAMESPACE, f"starter {metadata.tenant} {at}")
        with suppress(EventIdReused):
            await add(context, details, metadata, command_id=command_id)


async def change(
    context: Context,
    product_id: int,
    change: Change,
    metadata: Metadata,
    *,
    command_id: UUID | None = None,
) -> Product:
    """Change a product, and return it as it was right after the change.

    Raises what `domain.decide` raises, ArticleTaken, Unavailable.
    """
    command = _command(context, change, metadata)
    is_new = isinstance(change, AddProduct)
    expected = {PRODUCT.stream(product_id): NO_STREAM, PRICE.stream(product_id): NO_STREAM}
    articles: Collection[int] = ()
    for _ in range(ATTEMPTS):
        try:
            executed = await execute_many(
                context.store,
                [*_aggregates(product_id), *((CLAIM, _claim(one)) for one in articles)],
                lambda states: _decide(states, product_id, command),
                metadata=metadata,
                expected=expected if is_new else {},
                command_id=command_id,
            )
            break
        except _ArticlesNeeded as needed:
            articles = needed.articles
    else:
        raise Unavailable("product")
    stream = PRODUCT.stream(product_id)
    history = await context.store.read(metadata.tenant, stream)
    return PRODUCT.state_after(history.events[: executed.versions[stream]])


async def add_ingredient(
    context: ApiContext, product_id: int, content: Mapping[str, Any], metadata: Metadata
) -> Product:
    """Let a product take a warehouse item, and return the product.

    Raises WarehouseItemUnknown if the shop has no such item, what `domain.decide` raises,
    Unavailable and LogUnavailable.
    """
    stocked = context.hooks.stocked_items
    if not await stocked(context.reading, metadata.tenant, [content["warehouse_item_id"]]):
        raise WarehouseItemUnknown
    return await change(context, product_id, AddPart(INGREDIENTS, content), metadata)


async def remove(context: Context, product_id: int, metadata: Metadata) -> Product:
    """Remove a product from the catalogue, and return its last state, off sale.

    Raises ProductUnknown, LogUnavailable.
    """
    product = (await load_many(context, metadata.tenant, [product_id]))[product_id]
    off_sale = replace(product.present, is_active=False)
    await change(context, product_id, RemoveProduct(), metadata)
    return replace(product, details=off_sale)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPrice:
    """The price in whole tenge of a product, by its number or its article."""

    price: int
    product_id: int | None = None
    article: int | None = None


@dataclass(kw_only=True, slots=True)
class PricesSet:
    """How many products got another price, how many had it already, and what does not exist."""

    changed: int = 0
    unchanged: int = 0
    unknown: list[NewPrice] = field(default_factory=list)


async def set_prices(
    context: ApiContext,
    wanted: Sequence[NewPrice],
    metadata: Metadata,
    *,
    on_progress: Callable[[int], object] = lambda _: None,
) -> PricesSet:
    """Set prices; of several for one product the last counts. Safe to repeat.

    What exists is set, whatever else does not. `on_progress` is given the number of products that
    an append has set. Raises Unavailable, StreamsBusy, LogUnavailable: then some may be set.
    """
    articles = {one.article for one in wanted if one.article}
    known = await read_models.numbers_of(context.reading, metadata.tenant, articles)
    result, prices = PricesSet(), dict[int, int]()
    for one in wanted:
        if number := one.product_id or known.get(one.article or 0):
            prices[number] = one.price
        else:
            result.unknown.append(one)
    numbers = [*prices]
    for start in range(0, len(numbers), AT_ONCE):
        part = {number: prices[number] for number in numbers[start : start + AT_ONCE]}
        changed, missing = await _set(context, part, metadata)
        result.changed += changed
        result.unchanged += len(part) - changed - len(missing)
        result.unknown += [NewPrice(product_id=one, price=part[one]) for one in sorted(missing)]
        on_progress(len(part))
    return result


async def _set(
    context: ApiContext, prices: Mapping[int, int], metadata: Metadata
) -> tuple[int, set[int]]:
    """Set the prices by product. Returns how many changed, and the products that do not exist."""
    commands = {
        number: _command(context, SetPrice(price), metadata) for number, price in prices.items()
    }
    missing: set[int] = set()

    def decide(states: States) -> Mapping[str, Sequence[ShopEvent]]:
        events: dict[str, Sequence[ShopEvent]] = {}
        missing.clear()
        for number, command in commands.items():
            try:
                events |= _decide(states, number, command)
            except ProductUnknown:
                missing.add(number)
        return events

    named = [one for number in prices for one in _aggregates(number)]
    executed = await execute_many(context.store, named, decide, metadata=metadata)
    return len(executed.events.keys() & set(map(PRODUCT.stream, prices))), missing


def _command(context: Context, change: Change, metadata: Metadata) -> Command:
    """The command of a change."""
    return Command(
        change=change,
        price_id=PriceId(new_event_id()),
        currency=context.settings.currency,
        **authorship(context, metadata),
    )


def _aggregates(product_id: int) -> list[Aggregate]:
    """A product and the announcements of its price, which change together."""
    return [(PRODUCT, product_id), (PRICE, product_id)]


def _decide(states: States, product_id: int, command: Command) -> dict[str, Sequence[ShopEvent]]:
    """The events of a command by stream, with the announcement of another price.

    Raises what `domain.decide` raises, ArticleTaken.
    """
    before = states.of(PRODUCT, product_id)
    events = {PRODUCT.stream(product_id): PRODUCT.decide(before, command)}
    after = reduce(PRODUCT.evolve, events[PRODUCT.stream(product_id)], before)
    if (price := price_after(after.details, command)) is not None:
        announced = PRICE.decide(states.of(PRICE, product_id), price)
        events[PRICE.stream(product_id)] = announced
    return {**events, **_claims(states, product_id, before.article, after.article)}


def _claims(
    states: States, product_id: int, before: int | None, after: int | None
) -> dict[str, Sequence[ShopEvent]]:
    """The events by which a product gives up an article and gets another.

    Raises ArticleTaken, _ArticlesNeeded.
    """
    owner = str(product_id)
    commands: dict[int, ClaimCommand] = {}
    if before is not None and before != after:
        commands[before] = ReleaseKey(owner)
    if after is not None and before != after:
        commands[after] = ClaimKey(owner)
    try:
        return {
            CLAIM.stream(_claim(one)): CLAIM.decide(states.of(CLAIM, _claim(one)), command)
            for one, command in commands.items()
        }
    except KeyError:
        raise _ArticlesNeeded([*commands]) from None
    except Taken:
        raise ArticleTaken from None


def _claim(article: int) -> str:
    return claim_id("article", str(article))
