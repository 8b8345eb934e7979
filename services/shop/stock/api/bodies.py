"""The bodies of requests and responses about the warehouse (spec shop §4.4)."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from services.shop.context import Tenge
from services.shop.stock.api.fields import MOST, Cost, Currency, Moment, Name, Rate, Text


class NewItem(BaseModel):
    """A batch to take into stock. Without a price it is the recommended one."""

    sku: Name
    batch_code: Name
    variety: Name
    height_cm: Annotated[int, Field(gt=0, le=1000)]
    farm: Name
    supplier: Name
    delivery_date: Moment
    currency: Currency
    rate: Rate
    cost: Cost
    markup_pct: Annotated[Decimal, Field(ge=0, le=10_000)] = Decimal(100)
    qty: Annotated[int, Field(ge=0, le=MOST)]
    price: Tenge | None = None
    min_quantity: Annotated[int, Field(ge=0, le=MOST)] = 15
    on_showcase: bool = False
    to_write_off: bool = False
    hidden: bool = False


class ItemUpdate(BaseModel):
    """The fields to replace; absent ones stay. The admin sends some in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    variety: Name | None = None
    height_cm: Annotated[int, Field(gt=0, le=1000)] | None = None
    farm: Name | None = None
    supplier: Name | None = None
    price: Tenge | None = None
    cost: Cost | None = None
    min_quantity: Annotated[int, Field(ge=0, le=MOST)] | None = None
    qty: Annotated[int, Field(ge=0, le=MOST)] | None = Field(
        default=None, validation_alias=AliasChoices("qty", "quantity")
    )
    on_showcase: bool | None = None
    to_write_off: bool | None = None
    hidden: bool | None = None
    reserved_qty: Any = None

    @field_validator("reserved_qty")
    @classmethod
    def refuse(cls, value: Any) -> Any:
        """Only orders reserve."""
        if value is not None:
            raise ValueError("only orders reserve stock")
        return value

    def changes(self) -> dict[str, Any]:
        """The changed fields of the description."""
        return self.model_dump(exclude_none=True, exclude={"qty", "reserved_qty"})


class ItemOut(BaseModel):
    """A batch in stock."""

    id: int
    sku: str
    batch_code: str
    variety: str
    height_cm: int
    farm: str
    supplier: str
    delivery_date: datetime
    currency: str
    rate: float
    cost: float
    markup_pct: float
    qty: int
    quantity: int
    min_quantity: int
    price: int
    recommended_price: int
    reserved_qty: int
    available_qty: int
    on_showcase: bool
    to_write_off: bool
    hidden: bool
    is_critical_stock: bool
    created_at: datetime
    updated_at: datetime
    updated_by: str | None


class Items(BaseModel):
    """A page of batches."""

    items: list[ItemOut]
    total: int


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

    adjustment: Annotated[int, Field(ge=-MOST, le=MOST)] = Field(
        validation_alias=AliasChoices("adjustment", "quantity_change")
    )
    reason: Annotated[Name, Field(max_length=255)]

    @field_validator("adjustment")
    @classmethod
    def changes_something(cls, value: int) -> int:
        """A movement of nothing is none."""
        if not value:
            raise ValueError("must not be 0")
        return value


class MovementOut(BaseModel):
    """What came into a batch or left it."""

    id: int
    warehouse_item_id: int
    type: str
    quantity: int
    description: str
    reference_type: str | None
    reference_id: str | None
    created_at: datetime
    created_by: str
    qty_before: int
    qty_after: int


class Movements(BaseModel):
    """A page of movements."""

    items: list[MovementOut]
    total: int


class Position(BaseModel):
    """Stems of one kind in a delivery."""

    variety: Name
    height_cm: Annotated[int, Field(gt=0, le=1000)]
    qty: Annotated[int, Field(gt=0, le=MOST)]
    cost_per_stem: Cost


class NewDelivery(BaseModel):
    """Goods that a supplier delivered."""

    supplier: Name
    farm: Name
    delivery_date: Moment
    currency: Currency
    rate: Rate
    comment: Text | None = None
    positions: Annotated[list[Position], Field(min_length=1, max_length=500)]


class PositionOut(BaseModel):
    """A position of a delivery; its id is that of its batch."""

    id: int
    delivery_id: int
    variety: str
    height_cm: int
    qty: int
    cost_per_stem: float
    total_cost: float


class DeliveryOut(BaseModel):
    """A delivery. Costs are in its currency."""

    id: int
    supplier: str
    farm: str | None
    delivery_date: datetime
    currency: str
    rate: float
    comment: str | None
    cost_total: float
    created_at: datetime
    created_by: str | None
    positions: list[PositionOut]


class Deliveries(BaseModel):
    """A page of deliveries."""

    items: list[DeliveryOut]
    total: int
