"""How the shop's prices come into the stored copy of a catalogue, and how people overrule them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from contracts.scale_bridge import (
    DeviceId,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
    ScaleBridgeEvent,
)
from services.scale_bridge.catalogue.domain.catalogue import Catalogue, renumbered
from services.scale_bridge.catalogue.domain.commands import Edit, Revert, TakePrice
from services.scale_bridge.catalogue.domain.shop_price import ShopPrice, Taken, is_due
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

Edited: TypeAlias = Callable[[Catalogue, Edit], list[ScaleBridgeEvent]]


def take(copy: Catalogue, command: TakePrice, edited: Edited) -> list[ScaleBridgeEvent]:
    """What is to be told of a price: that it was taken, and the edit if it changed something.

    Nothing if that was told before, or a later price was. Raises what `edited` raises.
    """
    said, place = command.price, position_of(copy.current_document, command.plu)
    if place is not None:
        item = products(copy.current_document)[place]
        if text_of(item.get("code")) != str(said.article):
            return []
        if not is_due(copy.taken.get(command.plu), said, item.get("price")):
            return []
        if command.set_by and command.plu not in copy.taken and item.get("price") != said.price:
            return [*_overruled_at_once(copy, command, item.get("price"))]
    edit = Edit(
        device_id=command.device_id,
        plu=command.plu,
        fields={"price": said.price},
        source=BY_PRICE,
        edited_by=said.announced_by,
        now=command.now,
        limits=command.limits,
    )
    edits = edited(copy, edit)
    taken = _taken_from(said, copy.revision + len(edits))
    return [*edits, _price_taken(command.device_id, command.plu, taken, bool(edits), command.now)]


def _overruled_at_once(
    copy: Catalogue, command: TakePrice, price: Any
) -> Iterator[ScaleBridgeEvent]:
    """The shop's word came to a product of which a person said otherwise in the meantime."""
    taken = _taken_from(command.price, copy.revision)
    yield _price_taken(command.device_id, command.plu, taken, False, command.now)
    yield PriceOverridden(
        price_id=taken.price_id,
        device_id=command.device_id,
        article=taken.article,
        plu=command.plu,
        price=price,
        revision=copy.revision,
        overridden_by=command.set_by or PERSON,
        overridden_at=command.now,
    )


def due(copy: Catalogue, said: Mapping[int, ShopPrice]) -> Iterator[tuple[str, ShopPrice]]:
    """The products, by PLU, of which something is to be told of one of these prices."""
    for item in products(copy.current_document):
        plu, price = plu_of(item), said.get(article_of(item) or 0)
        if plu is None or price is None or item.get("deleted") is True:
            continue
        if is_due(copy.taken.get(plu), price, item.get("price")):
            yield plu, price


def owed(copy: Catalogue) -> bool:
    """Whether the scale is not known to hold a price of the shop that is in the copy."""
    return copy.valid and any(is_unsent(copy, plu) for plu in copy.taken)


def is_unsent(copy: Catalogue, plu: str) -> bool:
    """The same of the price of one product."""
    taken = copy.taken.get(plu)
    return taken is not None and not taken.overridden and taken.revision > copy.confirmed


def article_of(item: Mapping[str, Any]) -> int | None:
    """The shop's code of a product; None if it has none that the shop could name."""
    text = text_of(item.get("code")) or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def overruled(
    copy: Catalogue, command: Edit, events: Sequence[ScaleBridgeEvent]
) -> list[ScaleBridgeEvent]:
    """The edit, and what it means for what the shop said, if it is a person's."""
    if command.source != PERSON:
        return list(events)
    wanted = [
        (event.plu, renumbered(event), event.after["price"])
        for event in events
        if isinstance(event, ProductEdited) and "price" in event.after
    ]
    more = _overruled(copy, wanted, command.device_id, command.edited_by, command.now)
    return [*events, *more]


def overruled_by_revert(
    copy: Catalogue, command: Revert, events: Sequence[ScaleBridgeEvent]
) -> list[ScaleBridgeEvent]:
    """The event of a revision brought back, and its effect on the shop's prices."""
    if not events or not copy.taken:
        return list(events)
    before, after = _prices(copy.current_document), _prices(command.document)
    wanted = [(plu, plu, price) for plu, price in after.items() if before.get(plu) != price]
    more = _overruled(copy, wanted, command.device_id, command.reverted_by, command.now)
    return [*events, *more]


def _overruled(
    copy: Catalogue,
    wanted: Iterable[tuple[str, str, Any]],
    device_id: DeviceId,
    by: str,
    now: datetime,
) -> Iterator[ScaleBridgeEvent]:
    revision = copy.revision + 1
    for known_as, plu, price in wanted:
        taken = copy.taken.get(known_as)
        if taken is None or (price == taken.price) is not taken.overridden:
            continue
        if taken.overridden:
            # They came back to what the shop said.
            yield _price_taken(device_id, plu, _taken_again(taken, revision), False, now)
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


def _taken_from(said: ShopPrice, revision: int) -> Taken:
    return Taken(
        price_id=said.price_id,
        article=said.article,
        price=said.price,
        valid_at=said.valid_at,
        announced_at=said.announced_at,
        revision=revision,
    )


def _taken_again(taken: Taken, revision: int) -> Taken:
    names = ("price_id", "article", "price", "valid_at", "announced_at")
    return Taken(**{name: getattr(taken, name) for name in names}, revision=revision)


def _price_taken(
    device_id: DeviceId, plu: str, taken: Taken, changed: bool, now: datetime
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
