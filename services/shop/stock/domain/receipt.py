"""Goods that come in, by a delivery or a supply: each line becomes a batch (spec shop §4.4, §4.5).

The admin receives goods in two ways; both are one event here, and make the same batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from contracts.shop import (
    Batch,
    FlowerCategorySet,
    GoodsReceived,
    ReceivedGoods,
    ShopEvent,
    SupplyArchived,
)
from libs.errors import NotFound
from libs.eventsourcing.decider import Decider
from services.shop.stock.domain.category import Categories, category_with, detect
from services.shop.stock.domain.commands import NewBatch
from services.shop.stock.domain.pricing import DEFAULT_MARKUP, recommended_price, retail_price


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Stems of one kind that came in. `cost` is per stem in the currency of the goods.

    Lines of a supply may name their category, otherwise it is that of the flower's name.
    """

    variety: str
    height_cm: int
    quantity: int
    cost: Decimal
    category_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where goods come from and what their costs are in. `rate` is tenge per unit of `currency`."""

    supplier: str
    farm: str | None
    delivered_at: datetime
    currency: str
    rate: Decimal
    notes: str | None = None
    comment: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """The ids that goods get, and when they came in: `day` is the day of the codes."""

    receipt_id: int
    batch_ids: Sequence[int]
    day: date
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The event of goods that came in, and their batches, in the order of the lines."""

    event: GoodsReceived
    batches: Sequence[NewBatch]


class SupplyUnknown(NotFound):
    """Поставка не найдена"""


def delivery(origin: Origin, lines: Sequence[Line], registration: Registration) -> Receipt:
    """A delivery: batches `B<yyyymmdd>-<id>-<n>`, sold for twice their cost."""
    batches = []
    for n, (line, batch_id) in enumerate(zip(lines, registration.batch_ids, strict=True), 1):
        code = f"B{registration.day:%Y%m%d}-{registration.receipt_id}-{n}"
        names = f"{line.variety[:3].upper()}-{(origin.farm or '')[:3].upper()}"
        price = recommended_price(line.cost, origin.rate, DEFAULT_MARKUP)
        sku = f"{names}-{line.height_cm}-{code}"
        batch = _batch(origin, line, batch_id, price, DEFAULT_MARKUP, registration.now)
        batches.append(replace(batch, batch_code=code, sku=sku))
    return _receipt(origin, lines, registration, batches)


def supply(
    origin: Origin, lines: Sequence[Line], registration: Registration, categories: Categories
) -> Receipt:
    """A supply: batches `S<id>-<yyyymmdd>`, priced by the markups of their categories.

    Raises CategoryUnknown.
    """
    code = f"S{registration.receipt_id}-{registration.day:%Y%m%d}"
    batches, priced = [], []
    for n, (line, batch_id) in enumerate(zip(lines, registration.batch_ids, strict=True), 1):
        category = _category(line, categories)
        markup = category.markup_percent if category else DEFAULT_MARKUP
        price = retail_price(line.cost, origin.rate, markup)
        batch = _batch(origin, line, batch_id, price, markup, registration.now)
        batches.append(replace(batch, batch_code=code, sku=f"{code}-{n:03}"))
        priced.append(replace(line, category_id=category.category_id if category else None))
    return _receipt(origin, priced, registration, batches, kind_is_supply=True)


def _category(line: Line, categories: Categories) -> FlowerCategorySet | None:
    if line.category_id is not None:
        return category_with(categories, line.category_id)
    return detect(line.variety, categories.values())


def _batch(
    origin: Origin, line: Line, batch_id: int, price: int, markup: Decimal, now: datetime
) -> Batch:
    return Batch(
        batch_id=batch_id,
        sku="",
        batch_code="",
        variety=line.variety,
        height_cm=line.height_cm,
        farm=origin.farm or origin.supplier,
        supplier=origin.supplier,
        delivered_at=origin.delivered_at,
        currency=origin.currency,
        rate=origin.rate,
        cost=line.cost,
        markup_percent=markup,
        price=price,
        recommended_price=price,
        created_at=now,
    )


def _receipt(
    origin: Origin,
    lines: Sequence[Line],
    registration: Registration,
    batches: Sequence[Batch],
    *,
    kind_is_supply: bool = False,
) -> Receipt:
    pairs = list(zip(lines, batches, strict=True))
    goods = tuple(
        ReceivedGoods(
            batch_id=batch.batch_id,
            variety=line.variety,
            height_cm=line.height_cm,
            quantity=line.quantity,
            cost=line.cost,
            price=batch.price,
            category_id=line.category_id,
        )
        for line, batch in pairs
    )
    event = GoodsReceived(
        receipt_id=registration.receipt_id,
        kind="supply" if kind_is_supply else "delivery",
        supplier=origin.supplier,
        farm=origin.farm,
        delivered_at=origin.delivered_at,
        currency=origin.currency,
        rate=origin.rate,
        notes=origin.notes,
        comment=origin.comment,
        goods=goods,
        received_by=registration.by,
        received_at=registration.now,
    )
    return Receipt(
        event=event,
        batches=[NewBatch(batch=batch, quantity=line.quantity) for line, batch in pairs],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveSupply:
    """Archive a supply; an archived one stays as it is. Raises SupplyUnknown."""

    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptState:
    """A receipt; without goods it does not exist."""

    goods: GoodsReceived | None = None
    is_archived: bool = False


def decide(receipt: ReceiptState, command: ArchiveSupply) -> list[ShopEvent]:
    """See `Decider`."""
    if receipt.goods is None or receipt.goods.kind != "supply":
        raise SupplyUnknown
    if receipt.is_archived:
        return []
    archived = SupplyArchived(
        receipt_id=receipt.goods.receipt_id, archived_by=command.by, archived_at=command.now
    )
    return [archived]


def evolve(receipt: ReceiptState, event: ShopEvent) -> ReceiptState:
    """See `Decider`."""
    match event:
        case GoodsReceived():
            return ReceiptState(goods=event)
        case SupplyArchived():
            return replace(receipt, is_archived=True)
        case _:
            return receipt


RECEIPT: Final = Decider(category="receipt", initial=ReceiptState(), decide=decide, evolve=evolve)
