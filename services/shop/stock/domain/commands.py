"""Commands of a stock item, which is a variety of one height, and why they are refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from contracts.shop import Batch, Level, OrderShare, Reference, StockId
from libs.errors import BadRequest, NotFound, Refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Authored:
    """The fields of every command: the account that gives it, and when."""

    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Stems that an order needs of the stock item to which a batch belongs."""

    warehouse_item_id: int
    quantity: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBatch:
    """A batch that comes in with `quantity` stems."""

    batch: Batch
    quantity: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Receive(Authored):
    """Take batches into stock; those that are there already are left out."""

    batches: tuple[NewBatch, ...]
    reference_type: Reference
    reference_id: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OfOrder(Authored):
    """What the commands of an order have."""

    order_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserve(OfOrder):
    """Let the reservation of an order be `needs`: reserve what is missing, release what is more.

    `needs` are all that the order needs of this stock item, so that a repetition changes nothing.
    What was written off for the order counts as reserved. Raises StockShort: then nothing is.
    """

    needs: tuple[Need, ...]


class Release(OfOrder):
    """Release what an order has reserved; what was written off stays written off."""


class WriteOff(OfOrder):
    """Take what an order has reserved out of stock: it leaves the shop with the order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Return(OfOrder):
    """Put what was written off for an order back into its batches, by default reserved for it."""

    is_reserved: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Adjust(Authored):
    """Correct the quantity of a batch by `change`, or to `count`. Raises StockExceeded."""

    batch_id: int
    change: int = 0
    count: int | None = None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Describe(Authored):
    """Replace fields of a batch's description, which are named as those of `Batch`.

    Variety and height may change in writing only: see `MoveOut` for another stock item.
    """

    batch_id: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveOut(Authored):
    """Let a batch become one of another stock item, with a `MoveIn` in the same append.

    Raises BatchReserved.
    """

    batch_id: int
    to: StockId


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveIn(Authored):
    """Take over a batch from another stock item, with its level and the shares of orders there."""

    batch: Batch
    level: Level
    shares: tuple[OrderShare, ...]


OrderCommand: TypeAlias = Reserve | Release | WriteOff | Return
StockCommand: TypeAlias = OrderCommand | Receive | Adjust | Describe | MoveOut | MoveIn


class ItemUnknown(NotFound):
    """Товар на складе не найден"""


class StockShort(Refused):
    """Недостаточно товара на складе"""

    def __init__(self, missing: Mapping[str, int]) -> None:
        self.missing = dict(missing)
        names = ", ".join(f"{name} (не хватает {count})" for name, count in missing.items())
        super().__init__(f"Недостаточно товара на складе: {names}")

    @classmethod
    def of(cls, shortages: Iterable["StockShort"]) -> "StockShort":
        """One refusal for all stock items of an order."""
        return cls({name: n for shortage in shortages for name, n in shortage.missing.items()})


class StockExceeded(BadRequest):
    """Нельзя списать больше, чем свободно на складе"""


class BatchReserved(Refused):
    """Партия зарезервирована заказами: сорт и высоту изменить нельзя"""
