"""What the admin sends and reads of the stock (spec shop §4.4, §4.5).

Responses are validated from rows and events, whose names of fields are their aliases.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    computed_field,
)
from pydantic.alias_generators import to_camel

from contracts.shop import GoodsReceived
from services.shop.context import Id, PlainText, Tenge
from services.shop.staff.adapters import Directory
from services.shop.stock.domain.receipt import Line, Origin
from services.shop.stock.domain.supply_text import HIGHEST_CM, LOWEST_CM

MOST: Final = 1_000_000
"""The most stems of a batch."""
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100


def _in_range(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError(f"must be between the years {FIRST_YEAR} and {LAST_YEAR}")
    return moment


def _whole_day(value: Any) -> Any:
    """A date is the first moment of its day."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 -- the shop's zone
    return value


def _not_zero(value: int) -> int:
    if not value:
        raise ValueError("must not be 0")
    return value


Name = Annotated[
    PlainText,
    AfterValidator(lambda value: " ".join(value.split())),
    Field(min_length=1, max_length=200),
]
Text = Annotated[PlainText, Field(max_length=1000)]
Search = Annotated[PlainText, Field(max_length=200)]
Currency = Literal["USD", "EUR", "KZT"]
Rate = Annotated[Decimal, Field(gt=0, le=MOST)]
Cost = Annotated[Decimal, Field(ge=0, le=MOST)]
Height = Annotated[int, Field(gt=0, le=1000)]
Stems = Annotated[int, Field(ge=0, le=MOST)]
Moment = Annotated[datetime, BeforeValidator(_whole_day), AfterValidator(_in_range)]
Markup = Annotated[Decimal, Field(ge=0, le=500)]


def staff_name(staff: Directory, account_id: str) -> str | None:
    """The name of the member who did something, or the account's id if it is not known."""
    member = staff.by_account(account_id)
    return (member.name if member else account_id) or None


class NewItem(BaseModel):
    """A batch to take into stock. Without a price it is the recommended one."""

    sku: Name
    batch_code: Name
    variety: Name
    height_cm: Height
    farm: Name
    supplier: Name
    delivery_date: Moment
    currency: Currency
    rate: Rate
    cost: Cost
    markup_pct: Annotated[Decimal, Field(ge=0, le=10_000)] = Decimal(100)
    qty: Stems
    price: Tenge | None = None
    min_quantity: Stems = 15
    on_showcase: bool = False
    to_write_off: bool = False
    hidden: bool = False


class ItemUpdate(BaseModel):
    """The fields to replace; absent ones stay. The admin sends some in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    variety: Name | None = None
    height_cm: Height | None = None
    farm: Name | None = None
    supplier: Name | None = None
    price: Tenge | None = None
    cost: Cost | None = None
    min_quantity: Stems | None = None
    qty: Annotated[Stems | None, Field(validation_alias=AliasChoices("qty", "quantity"))] = None
    on_showcase: bool | None = None
    to_write_off: bool | None = None
    hidden: bool | None = None
    # Only orders reserve.
    reserved_qty: None = None


class ItemFilter(BaseModel):
    """The filters of the list, as the admin names them; an empty text or 0 filters nothing."""

    variety: Search = ""
    height_cm: Annotated[int, Field(ge=0, le=10_000, alias="heightCm")] = 0
    farm: Search = ""
    supplier: Search = ""
    on_showcase: Annotated[bool | None, Field(alias="onShowcase")] = None
    to_write_off: Annotated[bool | None, Field(alias="toWriteOff")] = None
    search: Search = ""

    def values(self) -> Mapping[str, Any]:
        """The filters that are given."""
        return {name: value for name, value in self if value or value is False}


class Out(BaseModel):
    """A response, with the names of fields or their aliases."""

    model_config = ConfigDict(populate_by_name=True)


class ItemOut(Out):
    """A batch in stock."""

    id: int = Field(validation_alias=AliasChoices("warehouse_item_id", "batch_id"))
    sku: str
    batch_code: str
    variety: str
    height_cm: int
    farm: str
    supplier: str
    delivery_date: datetime = Field(validation_alias="delivered_at")
    currency: str
    rate: float
    cost: float
    markup_pct: float = Field(validation_alias="markup_percent")
    quantity: int
    min_quantity: int
    price: int
    recommended_price: int
    reserved_qty: int = Field(validation_alias="reserved")
    on_showcase: bool
    to_write_off: bool
    hidden: bool
    created_at: datetime
    updated_at: datetime = Field(validation_alias="changed_at")
    updated_by: str | None

    @computed_field
    def qty(self) -> int:
        return self.quantity

    @computed_field
    def available_qty(self) -> int:
        return self.quantity - self.reserved_qty

    @computed_field
    def is_critical_stock(self) -> bool:
        return self.quantity - self.reserved_qty < self.min_quantity and not self.to_write_off


class Stats(BaseModel):
    """Sums over the warehouse."""

    total_items: int
    total_value: int
    critical_items: int
    showcase_items: int
    writeoff_items: int
    by_variety: dict[str, int]
    by_supplier: dict[str, int]


class Adjustment(BaseModel):
    """A correction of a quantity. Who made it is known by the token, not by the body."""

    adjustment: Annotated[int, AfterValidator(_not_zero)] = Field(
        validation_alias=AliasChoices("adjustment", "quantity_change"), ge=-MOST, le=MOST
    )
    reason: Annotated[Name, Field(max_length=255)]


class MovementOut(Out):
    """What came into a batch or left it."""

    id: int = Field(validation_alias="revision")
    warehouse_item_id: int
    type: str
    quantity: int
    description: str
    reference_type: str | None
    reference_id: str | None
    created_at: datetime
    created_by: str
    qty_before: int = Field(validation_alias="quantity_before")
    qty_after: int = Field(validation_alias="quantity_after")


class Position(BaseModel):
    """Stems of one kind in a delivery."""

    variety: Name
    height_cm: Height
    quantity: Annotated[int, Field(gt=0, le=MOST, alias="qty")]
    cost: Annotated[Cost, Field(alias="cost_per_stem")]


class SupplyItem(BaseModel):
    """Stems of one flower in a supply."""

    variety: Annotated[Name, Field(alias="flower_name")]
    height_cm: Annotated[int, Field(ge=LOWEST_CM, le=HIGHEST_CM)]
    cost: Annotated[Decimal, Field(gt=0, le=MOST, alias="purchase_price")]
    quantity: Annotated[int, Field(gt=0, le=MOST)]
    category_id: Id | None = None


class Goods(BaseModel):
    """Goods that came in."""

    supplier: Name
    comment: Text | None = None

    def origin(self, delivered_at: datetime) -> Origin:
        """Where they come from."""
        given = self.model_dump(exclude={"delivery_date", "positions", "items"})
        return Origin(**given, delivered_at=delivered_at)


class NewDelivery(Goods):
    """Goods that a supplier delivered."""

    farm: Name
    delivery_date: Moment
    currency: Currency
    rate: Rate
    positions: Annotated[list[Position], Field(min_length=1, max_length=500)]


class NewSupply(Goods):
    """A supply to import. Without a date it came in now."""

    farm: Text | None = None
    delivery_date: Annotated[Moment | None, BeforeValidator(lambda value: value or None)] = None
    currency: Currency = "KZT"
    rate: Rate = Decimal(1)
    notes: Text | None = None
    items: Annotated[list[SupplyItem], Field(max_length=500)]


def lines_of(goods: list[Position] | list[SupplyItem]) -> list[Line]:
    """The lines of goods that came in."""
    return [Line(**one.model_dump()) for one in goods]


class LineOut(Out):
    """Stems of one kind that came in; the id is that of their batch."""

    id: int = Field(validation_alias="batch_id")
    height_cm: int
    total_cost: float


class PositionOut(LineOut):
    """A position of a delivery."""

    delivery_id: int = Field(validation_alias="receipt_id")
    variety: str
    qty: int = Field(validation_alias="quantity")
    cost_per_stem: float = Field(validation_alias="cost")


class CategoryOut(Out):
    """A category of flowers."""

    id: int = Field(validation_alias="category_id")
    name: str
    markup_percentage: float = Field(validation_alias="markup_percent")
    keywords: str | None
    created_at: datetime
    updated_at: datetime = Field(validation_alias="changed_at")


class SupplyItemOut(LineOut):
    """A flower of a supply."""

    supply_id: int = Field(validation_alias="receipt_id")
    flower_name: str = Field(validation_alias="variety")
    purchase_price: float = Field(validation_alias="cost")
    quantity: int
    remaining_quantity: int
    retail_price: int = Field(validation_alias="price")
    category_id: int | None
    category: CategoryOut | None
    created_at: datetime


class GoodsOut(Out):
    """Goods that came in. Costs are in their currency."""

    id: int = Field(validation_alias="receipt_id")
    supplier: str
    farm: str | None
    delivery_date: datetime = Field(validation_alias="delivered_at")
    currency: str
    rate: float
    comment: str | None
    created_at: datetime = Field(validation_alias="received_at")
    created_by: str | None


class DeliveryOut(GoodsOut):
    """A delivery."""

    cost_total: float = Field(validation_alias="total_cost")
    positions: list[PositionOut] = Field(validation_alias="goods")


class SupplyOut(GoodsOut):
    """A supply."""

    notes: str | None
    status: Literal["active", "archived"]
    total_cost: float
    items: list[SupplyItemOut] = Field(validation_alias="goods")


Model = TypeVar("Model", bound=GoodsOut)


def present(
    model: type[Model],
    goods: GoodsReceived,
    staff: Directory,
    lines: Mapping[int, Mapping[str, Any]] | None = None,
    **values: Any,
) -> Model:
    """The response about goods; `lines` has more values of its lines, by batch."""
    common = {"receipt_id": goods.receipt_id, "created_at": goods.received_at}
    shown = [
        {
            **asdict(one),
            **common,
            "total_cost": one.cost * one.quantity,
            **(lines or {}).get(one.batch_id, {}),
        }
        for one in goods.goods
    ]
    values |= {
        "goods": shown,
        "total_cost": sum(one.cost * one.quantity for one in goods.goods),
        "created_by": staff_name(staff, goods.received_by),
    }
    return model.model_validate({**asdict(goods), **values})
