"""Goods that come in, by a delivery or a supply: each line becomes a batch (spec shop §4.4, §4.5).

The admin receives goods in two ways; both are one event here, and make the same batches.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from contracts.shop import Batch, GoodsReceived, ReceivedGoods, ShopEvent, SupplyArchived
from libs.errors import NotFound
from libs.eventsourcing.decider import Decider
from services.shop.stock.domain.category import Categories, detect
from services.shop.stock.domain.commands import Authored, NewBatch
from services.shop.stock.domain.pricing import DEFAULT_MARKUP, recommended_price, retail_price

Kind: TypeAlias = Literal["delivery", "supply"]


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
class ReceiveGoods(Authored):
    """Goods, the ids that they get, and the day of their codes.

    Deliveries are sold for twice their cost, supplies by the markups of `categories`.
    """

    kind: Kind
    origin: Origin
    lines: Sequence[Line]
    receipt_id: int
    batch_ids: Sequence[int]
    day: date
    categories: Categories


class SupplyUnknown(NotFound):
    """Поставка не найдена"""


def receive(command: ReceiveGoods) -> tuple[GoodsReceived, list[NewBatch]]:
    """The event of goods that came in, and their batches, in the order of the lines."""
    goods, batches = [], []
    for number, line in enumerate(command.lines, 1):
        batch, category_id = _batch(command, number, line)
        batches.append(NewBatch(batch=batch, quantity=line.quantity))
        values = asdict(line) | {"category_id": category_id}
        goods.append(ReceivedGoods(batch_id=batch.batch_id, price=batch.price, **values))
    event = GoodsReceived(
        receipt_id=command.receipt_id,
        kind=command.kind,
        **asdict(command.origin),
        goods=tuple(goods),
        received_by=command.by,
        received_at=command.now,
    )
    return event, batches


def _batch(command: ReceiveGoods, number: int, line: Line) -> tuple[Batch, int | None]:
    """The batch of a line, and the id of its category."""
    origin = command.origin
    # The page for quick receiving always sends the category 1, which a shop need not have.
    category = command.categories.get(line.category_id or 0) or detect(
        line.variety, command.categories.values()
    )
    markup = category.markup_percent if category else DEFAULT_MARKUP
    code, sku = _codes(command, number, line)
    price_of = retail_price if command.kind == "supply" else recommended_price
    price = price_of(line.cost, origin.rate, markup)
    batch = Batch(
        batch_id=command.batch_ids[number - 1],
        sku=sku,
        batch_code=code,
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
        created_at=command.now,
    )
    return batch, category.category_id if category else None


def _codes(command: ReceiveGoods, number: int, line: Line) -> tuple[str, str]:
    """The code and the sku of a batch."""
    day = f"{command.day:%Y%m%d}"
    if command.kind == "supply":
        code = f"S{command.receipt_id}-{day}"
        return code, f"{code}-{number:03}"
    code, farm = f"B{day}-{command.receipt_id}-{number}", command.origin.farm or ""
    return code, f"{line.variety[:3].upper()}-{farm[:3].upper()}-{line.height_cm}-{code}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveSupply(Authored):
    """Archive a supply; an archived one stays as it is. Raises SupplyUnknown."""

    receipt_id: int


def decide(state: str, command: ArchiveSupply) -> list[ShopEvent]:
    """See `Decider`."""
    if state == "archived":
        return []
    if state != "supply":
        raise SupplyUnknown
    by, now = command.by, command.now
    return [SupplyArchived(receipt_id=command.receipt_id, archived_by=by, archived_at=now)]


def evolve(state: str, event: ShopEvent) -> str:
    """See `Decider`. The state is the kind of the goods, or `archived`."""
    match event:
        case GoodsReceived(kind=kind):
            return kind
        case SupplyArchived():
            return "archived"
        case _:
            return state


RECEIPT: Final = Decider(category="receipt", initial="", decide=decide, evolve=evolve)
