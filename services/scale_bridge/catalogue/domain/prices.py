"""Prices of the shop in a catalogue, and the manual prices that take precedence over them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from contracts.scale_bridge import (
    DeviceId,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
    ScaleBridgeEvent,
)
from services.scale_bridge.catalogue.domain.catalogue import (
    Catalogue,
    Edit,
    Revert,
    TakePrice,
    plu_after,
)
from services.scale_bridge.catalogue.domain.edits import edit_product
from services.scale_bridge.catalogue.domain.shop_price import (
    ShopPrice,
    TakenPrice,
    is_due,
    taken_price,
)
from services.scale_bridge.driver.domain.document import (
    Document,
    is_deleted,
    plu_of,
    position_of,
    products,
    text_of,
)

BY_PRICE: Final = "price"
PERSON: Final = "person"
"""The source of an edit."""


def take_price(catalogue: Catalogue, command: TakePrice) -> list[ScaleBridgeEvent]:
    """The event that a price was taken, and the edit if it changes the product.

    Nothing if this price, or a later one, was taken before. Raises what `edit_product` raises.
    """
    price, position = command.price, position_of(catalogue.current_document, command.plu)
    if position is not None:
        item = products(catalogue.current_document)[position]
        if text_of(item.get("code")) != str(price.article):
            return []
        if not is_due(catalogue.taken.get(command.plu), price, item.get("price")):
            return []
        is_first = command.plu not in catalogue.taken
        if command.set_by and is_first and item.get("price") != price.price:
            return [*_overridden_at_once(catalogue, command, item.get("price"))]
    edit = Edit(
        device_id=command.device_id,
        plu=command.plu,
        fields={"price": price.price},
        source=BY_PRICE,
        edited_by=price.announced_by,
        now=command.now,
        limits=command.limits,
    )
    edits = edit_product(catalogue, edit)
    taken = taken_price(price, catalogue.revision + len(edits))
    return [*edits, _price_taken(command.device_id, command.plu, taken, bool(edits), command.now)]


def _overridden_at_once(
    catalogue: Catalogue, command: TakePrice, price: Any
) -> Iterator[ScaleBridgeEvent]:
    """A price that arrives after a person has set another one is taken and overridden."""
    taken = taken_price(command.price, catalogue.revision)
    yield _price_taken(command.device_id, command.plu, taken, False, command.now)
    yield PriceOverridden(
        price_id=taken.price_id,
        device_id=command.device_id,
        article=taken.article,
        plu=command.plu,
        price=price,
        revision=catalogue.revision,
        overridden_by=command.set_by or PERSON,
        overridden_at=command.now,
    )


def due_prices(
    catalogue: Catalogue, prices: Mapping[int, ShopPrice]
) -> Iterator[tuple[str, ShopPrice]]:
    """The PLUs of products that have not taken their price; `prices` are by article."""
    for item in products(catalogue.current_document):
        plu, price = plu_of(item), prices.get(article_of(item) or 0)
        if plu is None or price is None or is_deleted(item):
            continue
        if is_due(catalogue.taken.get(plu), price, item.get("price")):
            yield plu, price


def is_unsent(catalogue: Catalogue, plu: str) -> bool:
    """Whether the shop's price of a product is not confirmed on the scale."""
    taken = catalogue.taken.get(plu)
    return taken is not None and not taken.overridden and taken.revision > catalogue.confirmed


def article_of(item: Mapping[str, Any]) -> int | None:
    """The article of a product, by its code; None if the code is no article number."""
    text = text_of(item.get("code")) or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def with_overrides(
    catalogue: Catalogue, command: Edit, events: Sequence[ScaleBridgeEvent]
) -> list[ScaleBridgeEvent]:
    """The events of an edit, and its effect on the shop's price if a person made it."""
    if command.source != PERSON:
        return list(events)
    prices = [
        (event.plu, plu_after(event), event.after["price"])
        for event in events
        if isinstance(event, ProductEdited) and "price" in event.after
    ]
    more = _overrides(catalogue, prices, command.device_id, command.edited_by, command.now)
    return [*events, *more]


def with_overrides_of_revert(
    catalogue: Catalogue, command: Revert, events: Sequence[ScaleBridgeEvent]
) -> list[ScaleBridgeEvent]:
    """The events of a restored revision, and its effect on the shop's prices."""
    if not events or not catalogue.taken:
        return list(events)
    before, after = _prices(catalogue.current_document), _prices(command.document)
    prices = [(plu, plu, price) for plu, price in after.items() if before.get(plu) != price]
    more = _overrides(catalogue, prices, command.device_id, command.reverted_by, command.now)
    return [*events, *more]


def _overrides(
    catalogue: Catalogue,
    prices: Iterable[tuple[str, str, Any]],
    device_id: DeviceId,
    by: str,
    now: datetime,
) -> Iterator[ScaleBridgeEvent]:
    """The events for manual prices: by PLU before the edit, PLU after it, and price."""
    revision = catalogue.revision + 1
    for plu_before, plu, price in prices:
        taken = catalogue.taken.get(plu_before)
        if taken is None or (price == taken.price) is not taken.overridden:
            continue
        if taken.overridden:
            # Back to the shop's price.
            yield _price_taken(
                device_id, plu, replace(taken, revision=revision, overridden=False), False, now
            )
            continue
        yield PriceOverridden(
            price_id=taken.price_id,
            device_id=device_id,
            article=taken.article,
            plu=plu,
            price=price,
            revision=revision,
            overridden_by=by,
            overridden_at=now,
        )


def _prices(document: Document) -> Mapping[str, Any]:
    alive = (item for item in products(document) if not is_deleted(item))
    return {plu: item.get("price") for item in alive if (plu := plu_of(item))}


def _price_taken(
    device_id: DeviceId, plu: str, taken: TakenPrice, changed: bool, now: datetime
) -> PriceTaken:
    return PriceTaken(
        price_id=taken.price_id,
        device_id=device_id,
        article=taken.article,
        plu=plu,
        price=taken.price,
        changed=changed,
        revision=taken.revision,
        valid_at=taken.valid_at,
        announced_at=taken.announced_at,
        taken_at=now,
    )
