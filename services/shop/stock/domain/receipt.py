"""Goods that come in, by a delivery or a supply: each line becomes a batch (spec shop §4.4, §4.5).

The admin receives goods in two ways; both are one event here, and make the same batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal

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
from services.shop.stock.domain.category import Categories, detect
from services.shop.stock.domain.commands import Authored, NewBatch
from services.shop.stock.domain.pricing import DEFAULT_MARKUP, recommended_price, retail_price


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Stems of one kind that came in. `cost` is per stem in the currency of the goods.

    Lines of a supply may name a category of the shop, otherwise it is that of the flower's name.
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
class Registration(Authored):
    """The ids that goods get, and when they came in: `day` is the day of the codes."""

    receipt_id: int
    batch_ids: Sequence[int]
    day: date


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The event of goods that came in, and their batches, in the order of the lines."""

    event: GoodsReceived
    batches: Sequence[NewBatch]


class SupplyUnknown(NotFound):
    """Поставка не найдена"""


def delivery(origin: Origin, lines: Sequence[Line], registration: Registration) -> Receipt:
    """A delivery: batches `B<yyyymmdd>-<id>-<n>`, sold for twice their cost."""
    names = f"{{}}-{(origin.farm or '')[:3].upper()}-{{}}"
    batches = []
    for n, line in enumerate(lines):
        code = f"B{registration.day:%Y%m%d}-{registration.receipt_id}-{n + 1}"
        sku = f"{names.format(line.variety[:3].upper(), line.height_cm)}-{code}"
        price = recommended_price(line.cost, origin.rate, DEFAULT_MARKUP)
        codes = {"batch_code": code, "sku": sku, "batch_id": registration.batch_ids[n]}
        batches.append(_batch(origin, line, registration, DEFAULT_MARKUP, price, codes))
    return _receipt("delivery", origin, registration, lines, batches)


def supply(
    origin: Origin, lines: Sequence[Line], registration: Registration, categories: Categories
) -> Receipt:
    """A supply: batches `S<id>-<yyyymmdd>`, priced by the markups of their categories."""
    code = f"S{registration.receipt_id}-{registration.day:%Y%m%d}"
    priced, batches = [], []
    for n, line in enumerate(lines):
        category = _category(line, categories)
        markup = category.markup_percent if category else DEFAULT_MARKUP
        price = retail_price(line.cost, origin.rate, markup)
        sku = f"{code}-{n + 1:03}"
        codes = {"batch_code": code, "sku": sku, "batch_id": registration.batch_ids[n]}
        batches.append(_batch(origin, line, registration, markup, price, codes))
        priced.append(replace(line, category_id=category.category_id if category else None))
    return _receipt("supply", origin, registration, priced, batches)


def _category(line: Line, categories: Categories) -> FlowerCategorySet | None:
    # The page for quick receiving always sends the category 1, which a shop need not have.
    named = categories.get(line.category_id or 0)
    return named or detect(line.variety, categories.values())


def _batch(
    origin: Origin,
    line: Line,
    registration: Registration,
    markup: Decimal,
    price: int,
    codes: Mapping[str, Any],
) -> Batch:
    return Batch(
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
        created_at=registration.now,
        **codes,
    )


def _receipt(
    kind: Literal["delivery", "supply"],
    origin: Origin,
    registration: Registration,
    lines: Sequence[Line],
    batches: Sequence[Batch],
) -> Receipt:
    pairs = list(zip(lines, batches, strict=True))
    event = GoodsReceived(
        receipt_id=registration.receipt_id,
        kind=kind,
        **asdict(origin),
        goods=tuple(
            ReceivedGoods(batch_id=batch.batch_id, price=batch.price, **asdict(line))
            for line, batch in pairs
        ),
        received_by=registration.by,
        received_at=registration.now,
    )
    new = [NewBatch(batch=batch, quantity=line.quantity) for line, batch in pairs]
    return Receipt(event=event, batches=new)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveSupply(Authored):
    """Archive a supply; an archived one stays as it is. Raises SupplyUnknown."""


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
