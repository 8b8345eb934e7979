"""Requests about a shop's staff (spec shop §4.7, §12)."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    EmailStr,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from services.gateway.accounts.domain.shop_role import ShopRole
from services.gateway.realms.shop.api.token import printable
from services.gateway.realms.shop.domain import Card
from services.gateway.telegram.api.one_time_code import Phone

RoleName = Literal["admin", "manager", "florist", "courier"]


def _none_if_empty(value: object) -> object:
    # The user form sends "" where nothing was written (spec shop §12).
    return None if value == "" else value


def _digits(value: object) -> object:
    return str(value) if type(value) is int else _none_if_empty(value)


def _number(telegram_id: str | None) -> int | None:
    return int(telegram_id) if telegram_id else None


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(printable),
]
Email = Annotated[EmailStr | None, BeforeValidator(_none_if_empty)]
TelegramId = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,15}$")] | None,
    BeforeValidator(_digits),
]


class Hired(BaseModel):
    """Somebody to be taken on."""

    phone: Phone
    name: Name
    role: RoleName
    email: Email = None
    is_active: bool = True
    telegram_id: TelegramId = None

    def shop_role(self) -> ShopRole:
        """What they shall be."""
        return ShopRole(role=self.role, active=self.is_active)

    def card(self) -> Card:
        """What the shop shall call them."""
        return Card(name=self.name, email=self.email, telegram_id=_number(self.telegram_id))


class Changed(BaseModel):
    """What is to be different. The phone is not: it is theirs."""

    name: Name | None = None
    role: RoleName | None = None
    email: Email = None
    is_active: bool | None = None
    telegram_id: TelegramId = None

    def shop_role(self, before: ShopRole) -> ShopRole:
        """What they shall be. Another role comes with its own permissions."""
        role = self.role or before.role
        active = before.active if self.is_active is None else self.is_active
        keys = before.keys if role == before.role else None
        return ShopRole(role=role, keys=keys, active=active)

    def card(self, before: Card) -> Card:
        """What the shop shall call them; what is not said stays."""
        given = self.model_fields_set
        telegram_id = _number(self.telegram_id)
        return Card(
            name=self.name or before.name,
            email=self.email if "email" in given else before.email,
            telegram_id=telegram_id if "telegram_id" in given else before.telegram_id,
        )


class Permitted(BaseModel, extra="forbid"):
    """The permissions to give or take, bare or under `permissions` (spec shop §12)."""

    orders: StrictBool = False
    warehouse: StrictBool = False
    customers: StrictBool = False
    production: StrictBool = False
    settings: StrictBool = False
    users: StrictBool = False

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, said: Any) -> Any:
        wrapped = isinstance(said, dict) and said.keys() == {"permissions"}
        return said["permissions"] if wrapped else said


class StaffQuery(BaseModel):
    """Which of the staff to list. `search` looks in names, phones and addresses."""

    skip: int = Field(default=0, ge=0)
    limit: int = Field(default=100, ge=1, le=100)
    search: str = Field(default="", max_length=100)
    role: RoleName | None = None
    is_active: bool | None = None
