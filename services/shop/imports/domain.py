"""Rows of the former system as records of ours: pure. What cannot be a record raises BadRow."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from contracts.shop import Batch, Component, Ingredient, ProductDetails, ProductImage
from services.shop.customers.domain.person import (
    Address,
    BadPhone,
    ImportantDate,
    Person,
    normal_phone,
)
from services.shop.orders.domain.contact import Contact
from services.shop.orders.domain.status import Method, Status

TRUE: Final = {"t", "true", "1"}
CATEGORIES: Final = {"bouquet", "composition", "potted", "other"}
NUMBER_DIGITS: Final = 9
MOST: Final = 10**12
MOST_DAYS: Final = 365
"""How early a reminder may be."""


class BadRow(Exception):
    """A row that is no record; the message says why, without the row's values."""


class Values:
    """The values of a row. Methods raise BadRow with the name of the column."""

    def __init__(self, row: Mapping[str, str | None], zone: tzinfo = UTC) -> None:
        self._row = row
        self._zone = zone

    def text(self, name: str) -> str | None:
        """The text, None if it is null or empty."""
        text = self._row.get(name) or None
        if text and "\0" in text:
            raise BadRow(f"{name}: NUL character")
        return text

    def required(self, name: str) -> str:
        """The text. Raises BadRow if there is none."""
        if (text := self.text(name)) is None:
            raise BadRow(f"{name}: missing")
        return text

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        number = self.decimal(name, None if default is None else Decimal(default))
        if number != number.to_integral_value():
            raise BadRow(f"{name}: not a whole number")
        return int(number)

    def decimal(self, name: str, default: Decimal | None = None) -> Decimal:
        """A number, 0 or more."""
        text = self.text(name)
        if text is None and default is not None:
            return default
        try:
            number = Decimal(text or "")
        except InvalidOperation:
            raise BadRow(f"{name}: not a number") from None
        if not number.is_finite() or not 0 <= number <= MOST:
            raise BadRow(f"{name}: negative or too large")
        return number

    def tenge(self, name: str, default: int | None = None) -> int:
        """An amount, rounded half up."""
        exact = self.decimal(name, None if default is None else Decimal(default))
        return int(exact.quantize(Decimal(1), ROUND_HALF_UP))

    def flag(self, name: str) -> bool:
        """Whether it is true; null is not."""
        return (self.text(name) or "").lower() in TRUE

    def moment(self, name: str) -> datetime | None:
        """An instant in UTC; one without an offset is in the shop's zone."""
        return instant(self.text(name), name, self._zone)

    def created(self) -> datetime:
        """When the row was created. Raises BadRow if that is unknown."""
        if (at := self.moment("created_at")) is None:
            raise BadRow("created_at: missing")
        return at


def instant(text: str | None, name: str, zone: tzinfo) -> datetime | None:
    """See `Values.moment`."""
    if text is None:
        return None
    try:
        # PostgreSQL writes the offset of whole hours with two digits.
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadRow(f"{name}: not a time") from None
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def phone(values: Values, name: str) -> str:
    """A phone as E.164."""
    try:
        return normal_phone(values.required(name))
    except BadPhone:
        raise BadRow(f"{name}: not a phone") from None


def person(
    values: Values, addresses: Sequence[tuple[int, Values]], dates: Sequence[tuple[int, Values]]
) -> Person:
    """A customer with addresses and dates, which come with their new ids."""
    return Person(
        phone=phone(values, "phone"),
        name=values.text("name"),
        email=values.text("email"),
        notes=values.text("notes"),
        preferences=values.text("preferences"),
        addresses=tuple(
            Address(
                address_id=number,
                address=one.required("address"),
                created_at=one.created(),
                label=one.text("label"),
                is_primary=one.flag("is_primary"),
                usage_count=one.integer("usage_count", 0),
                last_used_at=one.moment("last_used_at"),
            )
            for number, one in addresses
        ),
        dates=tuple(
            ImportantDate(
                date_id=number,
                date=one.required("date"),
                description=one.required("description"),
                created_at=one.created(),
                remind_days_before=min(one.integer("remind_days_before", 3), MOST_DAYS),
                last_reminded_year=one.integer("last_reminded_year", 0) or None,
            )
            for number, one in dates
        ),
    )


def batch(values: Values, number: int) -> tuple[Batch, int]:
    """A batch and its stems."""
    return (
        Batch(
            batch_id=number,
            sku=values.required("sku"),
            batch_code=values.required("batch_code"),
            variety=values.required("variety"),
            farm=values.required("farm"),
            supplier=values.required("supplier"),
            currency=values.required("currency"),
            height_cm=values.integer("height_cm"),
            delivered_at=values.moment("delivery_date") or values.created(),
            rate=values.decimal("rate"),
            cost=values.decimal("cost"),
            markup_percent=values.decimal("markup_pct", Decimal(100)),
            price=values.tenge("price"),
            recommended_price=values.tenge("recommended_price"),
            created_at=values.created(),
            on_showcase=values.flag("on_showcase"),
            to_write_off=values.flag("to_write_off"),
            hidden=values.flag("hidden"),
        ),
        values.integer("qty"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A product with its parts."""

    details: ProductDetails
    images: tuple[ProductImage, ...]
    ingredients: tuple[Ingredient, ...]
    components: tuple[Component, ...]


def product(
    values: Values,
    images: Sequence[Values],
    ingredients: Sequence[Values],
    components: Sequence[Values],
    items: Mapping[str, int],
) -> Product:
    """A product. `items` are warehouse items by their former id; unknown ones are left out."""
    ordered = sorted(
        images, key=lambda one: (not one.flag("is_primary"), one.integer("sort_order", 0))
    )
    category = values.text("category") or "other"
    return Product(
        details=ProductDetails(
            name=values.required("name"),
            category=category if category in CATEGORIES else "other",
            cost_price=values.tenge("cost_price", 0),
            retail_price=values.tenge("retail_price"),
            sale_price=values.tenge("sale_price", 0) or None,
            description=values.text("description"),
            image_url=values.text("image_url"),
            is_active=values.flag("is_active"),
            is_popular=values.flag("is_popular"),
            is_new=values.flag("is_new"),
        ),
        images=tuple(
            ProductImage(image_id=at, url=one.required("image_url"))
            for at, one in enumerate(ordered, 1)
        ),
        ingredients=_ingredients(ingredients, items),
        components=_components(components, items),
    )


def _ingredients(rows: Sequence[Values], items: Mapping[str, int]) -> tuple[Ingredient, ...]:
    return tuple(
        Ingredient(
            ingredient_id=at,
            warehouse_item_id=items[one.required("warehouse_item_id")],
            quantity=one.integer("quantity"),
            notes=one.text("notes"),
        )
        for at, one in enumerate(rows, 1)
        if one.text("warehouse_item_id") in items
    )


def _components(rows: Sequence[Values], items: Mapping[str, int]) -> tuple[Component, ...]:
    return tuple(
        Component(
            component_id=at,
            kind=one.required("component_type"),
            name=one.required("name"),
            quantity=one.integer("quantity"),
            unit=one.text("unit") or "шт",
            unit_cost=one.tenge("unit_cost", 0),
            unit_price=one.tenge("unit_price", 0),
            description=one.text("description"),
            warehouse_item_id=items.get(one.text("warehouse_item_id") or ""),
        )
        for at, one in enumerate(rows, 1)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A change of an order's state."""

    old: str
    new: str
    at: datetime
    comment: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FormerOrder:
    """An order without its lines. `number` is None if the former one cannot be used."""

    contact: Contact
    details: Mapping[str, Any] = field(repr=False)
    number: str | None
    flower_sum: int
    delivery_fee: int
    source: str
    placed_at: datetime
    moves: tuple[Move, ...]
    issue_type: str | None


def order(values: Values, history: Sequence[Values], zone: tzinfo) -> FormerOrder:
    """An order with its moves; if the history does not lead to its state, there is one more."""
    placed_at = values.created()
    first, last = _window(values.text("delivery_window"), zone)
    token = values.text("tracking_token") or ""
    method = values.required("delivery_method")
    return FormerOrder(
        contact=Contact(
            customer_phone=phone(values, "customer_phone"),
            recipient_phone=values.text("recipient_phone"),
            **{name: values.text(name) for name in ("recipient_name", "address", "card_text")},
            delivery_time_text=values.text("delivery_time_text"),
        ),
        details={
            "delivery_method": Method.DELIVERY if method == "delivery" else Method.SELF_PICKUP,
            "address_needs_clarification": values.flag("address_needs_clarification"),
            "delivery_from": first,
            "delivery_to": last,
            "payment_method": values.text("payment_method"),
            "payment_date": values.moment("payment_date"),
        },
        number=token if len(token) == NUMBER_DIGITS and token.isdecimal() else None,
        flower_sum=values.tenge("flower_sum"),
        delivery_fee=values.tenge("delivery_fee", 0),
        source=values.text("source") or "crm",
        placed_at=placed_at,
        moves=_moves(values, history, placed_at),
        issue_type=values.text("issue_type"),
    )


def _moves(values: Values, history: Sequence[Values], placed_at: datetime) -> tuple[Move, ...]:
    status, moves = Status.NEW.value, list[Move]()
    steps = [one for one in history if one.text("event_type") == "status_changed"]
    for one in sorted(steps, key=lambda one: (one.created(), one.integer("id"))):
        new = one.text("new_status") or status
        if new != status:
            moves.append(
                Move(old=status, new=_status(new), at=one.created(), comment=one.text("comment"))
            )
            status = new
    if (now := _status(values.required("status"))) != status:
        at = values.moment("updated_at") or placed_at
        comment = values.text("issue_comment") if now == Status.ISSUE else None
        moves.append(Move(old=status, new=now, at=at, comment=comment))
    return tuple(moves)


def _status(text: str) -> str:
    try:
        return Status(text).value
    except ValueError:
        raise BadRow("status: unknown") from None


def _window(text: str | None, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """When to deliver, in any of the three shapes (C7); none if it cannot be read."""
    try:
        window = json.loads(text or "null") or {}
        first, last = (window.get(name) or window.get(f"{name}_time") for name in ("from", "to"))
        return instant(first, "delivery_window", zone), instant(last, "delivery_window", zone)
    except (ValueError, AttributeError, TypeError, BadRow):
        return None, None
