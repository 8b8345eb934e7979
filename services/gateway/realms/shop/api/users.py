"""Routes of a shop's staff (spec shop §4.7, §2.5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query

from contracts.gateway import AccountId
from libs.http.auth import Principal, require
from libs.names import comparable
from services.gateway.accounts.domain.account import OfferedTooOften
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import ACCOUNTS
from services.gateway.doors.api.shop_route import ShopRoute
from services.gateway.realms.shop.api.self import user
from services.gateway.realms.shop.api.user_forms import Changed, Hired, Permitted, StaffQuery
from services.gateway.realms.shop.handlers import administration
from services.gateway.realms.shop.handlers import staff as shop_staff
from services.gateway.realms.shop.handlers.administration import StaffAdministrator
from services.gateway.realms.shop.handlers.shop import shop_of
from services.gateway.realms.shop.handlers.staff import LastAdmin, Member, NotStaff

router = APIRouter(
    prefix="/api/users", tags=["shop"], route_class=ShopRoute, dependencies=[ACCOUNTS]
)

Manager = Annotated[Principal, Depends(require("shop:users"))]
WHY_NOT: Final[dict[type[Exception], tuple[int, str]]] = {
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
    """Invite somebody: 200, and listed from now on; 400 if they are here or invited.

    They accept by their first login if they work nowhere, else by the bot or `/api/auth/shops`.
    """
    with _explained():
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
    """Change what the shop calls somebody, their role, or whether they may log in."""
    member = await _member(gateway, caller, number)
    with _explained():
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
    """Give somebody permissions, or take them; 400 for an admin."""
    member = await _member(gateway, caller, number)
    said = permitted.model_dump(exclude_unset=True)
    with _explained():
        member = await administration.allow(gateway.identity, _administrator(caller), member, said)
    return _present(member, await _shop_id(gateway, caller))


@router.delete("/{number}/", include_in_schema=False)
@router.delete("/{number}")
async def delete_user(number: int, caller: Manager, gateway: Gateway) -> dict[str, Any]:
    """Switch somebody off; 400 for an admin. They stay in the list."""
    member = await _member(gateway, caller, number)
    with _explained():
        member = await administration.deactivate(gateway.identity, _administrator(caller), member)
    return _present(member, await _shop_id(gateway, caller))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except tuple(WHY_NOT) as error:
        status, text = WHY_NOT[type(error)]
        raise HTTPException(status, text) from None


def _administrator(caller: Principal) -> StaffAdministrator:
    keys = frozenset(scope.removeprefix("shop:") for scope in caller.scopes)
    return StaffAdministrator(
        account_id=AccountId(UUID(caller.subject)), tenant=caller.tenant, keys=keys
    )


async def _member(gateway: Deps, caller: Principal, number: int) -> Member:
    with _explained():
        return await shop_staff.by_number(gateway.identity, number, caller.tenant)


async def _shop_id(gateway: Deps, caller: Principal) -> int | None:
    shop = await shop_of(gateway.identity, caller.tenant)
    return shop.number if shop else None


def _matches(member: Member, query: StaffQuery) -> bool:
    texts = (member.card.name, member.phone or "", member.card.email or "")
    return (
        query.role in (None, member.shop_role.role)
        and query.is_active in (None, member.active)
        and any(_searched(query.search) in _searched(text) for text in texts)
    )


def _searched(text: str) -> str:
    return comparable(text).lower()


def _present(member: Member, shop_id: int | None) -> dict[str, Any]:
    return {
        **user(member),
        "permissions": dict(member.shop_role.permissions),
        "shop_id": shop_id,
        "created_at": member.opened_at.isoformat() if member.opened_at else None,
        "updated_at": member.changed_at.isoformat() if member.changed_at else None,
    }
