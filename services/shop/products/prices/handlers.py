"""Setting the prices of many products: few appends, each all or nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts.shop import ShopEvent
from libs.eventsourcing.execute_many import States, execute_many
from libs.eventsourcing.log import Metadata
from services.shop.context import ApiContext
from services.shop.products import read_models
from services.shop.products.domain import PRODUCT, ProductUnknown, SetPrice
from services.shop.products.handlers import aggregates, decide_with_price, new_command
from services.shop.products.prices.domain import NewPrice

AT_ONCE: Final = 250
"""The products of one append."""


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
        number: new_command(context, SetPrice(price), metadata) for number, price in prices.items()
    }
    missing: set[int] = set()

    def decide(states: States) -> Mapping[str, Sequence[ShopEvent]]:
        events: dict[str, Sequence[ShopEvent]] = {}
        missing.clear()
        for number, command in commands.items():
            try:
                events |= decide_with_price(states, number, command)
            except ProductUnknown:
                missing.add(number)
        return events

    named = [one for number in prices for one in aggregates(number)]
    executed = await execute_many(context.store, named, decide, metadata=metadata)
    return len(executed.events.keys() & set(map(PRODUCT.stream, prices))), missing
