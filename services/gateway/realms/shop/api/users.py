"""Routes of a shop's staff (spec shop §4.7, §2.5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query
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

from contracts.gateway import AccountId
from libs.http.auth import Principal, require
from libs.names import comparable
from services.gateway.accounts.domain.account import OfferedTooOften
from services.gateway.accounts.domain.shop_role import ShopRole
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import ACCOUNTS
from services.gateway.doors.api.shop_route import ShopRoute
from services.gateway.realms.shop.api.current_user import user
from services.gateway.realms.shop.api.token import printable
from services.gateway.realms.shop.domain import Card
from services.gateway.realms.shop.handlers import administration
from services.gateway.realms.shop.handlers import staff as shop_staff
from services.gateway.realms.shop.handlers.administration import StaffAdministrator
from services.gateway.realms.shop.handlers.shop import shop_of
from services.gateway.realms.shop.handlers.staff import LastAdmin, NotStaff, StaffMember
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
    """A person to invite."""

    phone: Phone
    name: Name
    role: RoleName
    email: Email = None
    is_active: bool = True
    telegram_id: TelegramId = None

    def shop_role(self) -> ShopRole:
        """The role of the new member."""
        return ShopRole(role=self.role, active=self.is_active)

    def card(self) -> Card:
        """The shop's card of the new member."""
        return Card(name=self.name, email=self.email, telegram_id=_number(self.telegram_id))


class Changed(BaseModel):
    """Changes of a member. The phone belongs to the account and cannot be changed."""

    name: Name | None = None
    role: RoleName | None = None
    email: Email = None
    is_active: bool | None = None
    telegram_id: TelegramId = None

    def shop_role(self, before: ShopRole) -> ShopRole:
        """The role after the change. Another role has its default permissions."""
        role = self.role or before.role
        active = before.active if self.is_active is None else self.is_active
        keys = before.keys if role == before.role else None
        return ShopRole(role=role, keys=keys, active=active)

    def card(self, before: Card) -> Card:
        """The card after the change; missing fields stay."""
        given = self.model_fields_set
        telegram_id = _number(self.telegram_id)
        return Card(
            name=self.name or before.name,
            email=self.email if "email" in given else before.email,
            telegram_id=telegram_id if "telegram_id" in given else before.telegram_id,
        )


class Permitted(BaseModel, extra="forbid"):
    """The permissions to grant or revoke, bare or under `permissions` (spec shop §12)."""

    orders: StrictBool = False
    warehouse: StrictBool = False
    customers: StrictBool = False
    production: StrictBool = False
    settings: StrictBool = False
    users: StrictBool = False

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        wrapped = isinstance(value, dict) and value.keys() == {"permissions"}
        return value["permissions"] if wrapped else value


class StaffQuery(BaseModel):
    """The query of a list of staff. `search` applies to names, phones and addresses."""

    skip: int = Field(default=0, ge=0)
    limit: int = Field(default=100, ge=1, le=100)
    search: str = Field(default="", max_length=100)
    role: RoleName | None = None
    is_active: bool | None = None


router = APIRouter(
    prefix="/api/users", tags=["shop"], route_class=ShopRoute, dependencies=[ACCOUNTS]
)

Manager = Annotated[Principal, Depends(require("shop:users"))]
REFUSALS: Final[dict[type[Exception], tuple[int, str]]] = {
    NotStaff: (404, "Пользователь не найден"),
    administration.PhoneTaken: (400, "Пользователь с этим номером телефона уже есть"),
    administration.EmailTaken: (400, "Пользователь с этим адресом почты уже есть"),
    OfferedTooOften: (400, "Этого человека приглашали слишком часто"),
    administration.IsAdmin: (400, "Права администратора не меняются"),
    LastAdmin: (400, "Это последний администратор магазина"),
    administration.OwnRole: (403, "Свою роль и права нельзя менять"),
    administration.PrivilegeExceeded: (403, "Недостаточно прав"),
}


@router.get("", include_in_schema=False)
@router.get("/")
async def list_users(
    query: Annotated[StaffQuery, Query()], caller: Manager, gateway: Gateway
) -> dict[str, Any]:
    """The shop's staff, oldest first, those who are switched off too."""
    staff = await shop_staff.staff_of(gateway.identity, caller.tenant)
    found = [member for member in staff if _matches(member, query)]
    page = found[query.skip : query.skip + query.limit]
    shop_id = await _shop_id(gateway, caller)
    return {"items": [_present(member, shop_id) for member in page], "total": len(found)}


@router.post("", include_in_schema=False)
@router.post("/")
async def create_user(hired: Hired, caller: Manager, gateway: Gateway) -> dict[str, Any]:
    """Invite a person: 200, and listed from now on; 400 for a member or a pending invitation.

    A person without a shop accepts by the first login, others by the bot or `/api/auth/shops`.
    """
    with _staff_refusals():
        member = await administration.hire(
            gateway.identity, _administrator(caller), hired.phone, hired.card(), hired.shop_role()
        )
    return _present(member, await _shop_id(gateway, caller))


@router.get("/{number}/", include_in_schema=False)
@router.get("/{number}")
async def get_user(number: int, caller: Manager, gateway: Gateway) -> dict[str, Any]:
    """One of the shop's staff; 404 for everybody else."""
    return _present(await _member(gateway, caller, number), await _shop_id(gateway, caller))


@router.patch("/{number}/", include_in_schema=False)
@router.patch("/{number}")
async def change_user(
    number: int, changed: Changed, caller: Manager, gateway: Gateway
) -> dict[str, Any]:
    """Change a member's card, role, or whether they may log in."""
    member = await _member(gateway, caller, number)
    with _staff_refusals():
        member = await administration.change(
            gateway.identity,
            _administrator(caller),
            member,
            shop_role=changed.shop_role,
            card=changed.card,
        )
    return _present(member, await _shop_id(gateway, caller))


@router.patch("/{number}/permissions/", include_in_schema=False)
@router.patch("/{number}/permissions")
async def change_permissions(
    number: int, permitted: Permitted, caller: Manager, gateway: Gateway
) -> dict[str, Any]:
    """Grant permissions to a member, or revoke them; 400 for an admin."""
    member = await _member(gateway, caller, number)
    changes = permitted.model_dump(exclude_unset=True)
    with _staff_refusals():
        member = await administration.allow(
            gateway.identity, _administrator(caller), member, changes
        )
    return _present(member, await _shop_id(gateway, caller))


@router.delete("/{number}/", include_in_schema=False)
@router.delete("/{number}")
async def delete_user(number: int, caller: Manager, gateway: Gateway) -> dict[str, Any]:
    """Deactivate a member, who stays in the list; 400 for an admin."""
    member = await _member(gateway, caller, number)
    with _staff_refusals():
        member = await administration.deactivate(gateway.identity, _administrator(caller), member)
    return _present(member, await _shop_id(gateway, caller))


@contextmanager
def _staff_refusals() -> Iterator[None]:
    try:
        yield
    except tuple(REFUSALS) as error:
        status, text = REFUSALS[type(error)]
        raise HTTPException(status, text) from None


def _administrator(caller: Principal) -> StaffAdministrator:
    keys = frozenset(scope.removeprefix("shop:") for scope in caller.scopes)
    return StaffAdministrator(
        account_id=AccountId(UUID(caller.subject)), tenant=caller.tenant, keys=keys
    )


async def _member(gateway: Deps, caller: Principal, number: int) -> StaffMember:
    with _staff_refusals():
        return await shop_staff.by_number(gateway.identity, number, caller.tenant)


async def _shop_id(gateway: Deps, caller: Principal) -> int | None:
    shop = await shop_of(gateway.identity, caller.tenant)
    return shop.number if shop else None


def _matches(member: StaffMember, query: StaffQuery) -> bool:
    texts = (member.card.name, member.phone or "", member.card.email or "")
    return (
        query.role in (None, member.shop_role.role)
        and query.is_active in (None, member.active)
        and any(_searched(query.search) in _searched(text) for text in texts)
    )


def _searched(text: str) -> str:
    return comparable(text).lower()


def _present(member: StaffMember, shop_id: int | None) -> dict[str, Any]:
    return {
        **user(member),
        "permissions": dict(member.shop_role.permissions),
        "shop_id": shop_id,
        "created_at": member.opened_at.isoformat(),
        "updated_at": member.changed_at.isoformat(),
    }
