"""Setting the prices of many products: few appends, each all or nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contracts.shop import ShopEvent
from libs.eventsourcing.execute_many import States, execute_many
from libs.eventsourcing.log import Metadata
from services.shop.context import ApiContext
from services.shop.products import read_models
from services.shop.products.domain import PRODUCT, Command, ProductUnknown, SetPrice
from services.shop.products.handlers import aggregates, decide_with_price, new_price_id
from services.shop.products.prices.domain import NewPrice

AT_ONCE: Final = 250
"""The products of one append."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PricesSet:
    """How many products got another price, how many had it already, and what does not exist."""

    changed: int = 0
    unchanged: int = 0
    unknown: tuple[NewPrice, ...] = ()


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
    prices, unknown = await _by_product(context, wanted, metadata.tenant)
    result = PricesSet(unknown=tuple(unknown))
    numbers = [*prices]
    for start in range(0, len(numbers), AT_ONCE):
        part = {number: prices[number] for number in numbers[start : start + AT_ONCE]}
        result = await _set_part(context, part, metadata, result)
        on_progress(len(part))
    return result


async def _by_product(
    context: ApiContext, wanted: Sequence[NewPrice], tenant: str
) -> tuple[dict[int, int], list[NewPrice]]:
    """The price by product, and what names no product."""
    articles = {one.article for one in wanted if one.product_id is None and one.article}
    known = await read_models.numbers_of(context.reading, tenant, articles)
    prices: dict[int, int] = {}
    unknown: list[NewPrice] = []
    for one in wanted:
        numbers = [one.product_id] if one.product_id else known.get(one.article or 0, ())
        prices |= dict.fromkeys(numbers, one.price)
        if not numbers:
            unknown.append(one)
    return prices, unknown


async def _set_part(
    context: ApiContext, prices: Mapping[int, int], metadata: Metadata, result: PricesSet
) -> PricesSet:
    now, by = context.clock(), metadata.actor or ""
    price_ids = {number: new_price_id() for number in prices}
    unknown: set[int] = set()

    def decide(states: States) -> Mapping[str, Sequence[ShopEvent]]:
        events: dict[str, Sequence[ShopEvent]] = {}
        unknown.clear()
        for number, price in prices.items():
            command = Command(change=SetPrice(price), by=by, now=now)
            try:
                events |= decide_with_price(
                    states, number, command, price_ids[number], context.settings.currency
                )
            except ProductUnknown:
                unknown.add(number)
        return events

    named = [one for number in prices for one in aggregates(number)]
    executed = await execute_many(context.store, named, decide, metadata=metadata)
    changed = len(executed.events.keys() & set(map(PRODUCT.stream, prices)))
    missing = [NewPrice(product_id=number, price=prices[number]) for number in sorted(unknown)]
    return replace(
        result,
        changed=result.changed + changed,
        unchanged=result.unchanged + len(prices) - changed - len(missing),
        unknown=(*result.unknown, *missing),
    )
