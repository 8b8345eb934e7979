"""The current user and shop, the logout, and one's own memberships in shops (spec shop §2.1).

The latter are for clients that know more than one shop. Others do it in the bot, by `/shops`.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from contracts.gateway import ShopRegistered
from libs.http.auth import Principal, require_kind
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import Realm
from services.gateway.accounts.handlers.identity import load, person_of
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import ACCOUNTS, SESSIONS
from services.gateway.realms.shop.api.login import logins_of, no_store
from services.gateway.realms.shop.api.token import AuthRoute, auth_token
from services.gateway.realms.shop.handlers import membership as shop_membership
from services.gateway.realms.shop.handlers import staff as shop_staff
from services.gateway.realms.shop.handlers.shop import ShopUnknown, shop_of
from services.gateway.realms.shop.handlers.staff import StaffMember
from services.gateway.sessions.api.login import log_out
from services.gateway.sessions.api.realm_permission import account_of

router = APIRouter(
    prefix="/api/auth", tags=["auth"], route_class=AuthRoute, dependencies=[SESSIONS]
)

Staff = Annotated[Principal, Depends(require_kind(Realm.SHOP))]
"""Everybody who is logged in to a shop, in whatever role (spec shop §2.5)."""

DEFAULTS: Final = {
    "email": None,
    "address": None,
    "description": None,
    "whatsapp_number": None,
    "shop_domain": None,
    "shop_logo_url": None,
    "business_hours": None,
    "currency": "KZT",
    "timezone": "Asia/Almaty",
    "language": "ru",
    "is_active": True,
    "is_verified": False,
    "plan": "basic",
    "trial_ends_at": None,
    "last_login_at": None,
}
"""Fields of a shop that the gateway does not know, with the values of a new shop (spec shop §3)."""


@router.get("/current-user")
async def current_user(caller: Staff, gateway: Gateway) -> dict[str, Any]:
    """The current user and shop; 404 if the user left the shop, 403 if deactivated."""
    who = await _working(gateway, caller)
    shop, founder = await shop_and_founder(gateway, caller.tenant)
    return {
        "user": {**user(who), "permissions": dict(who.shop_role.permissions)},
        "shop": {
            "id": shop.number if shop else None,
            "name": shop.name if shop else caller.tenant,
            "phone": founder.phone if founder else None,
            "city": shop.city if shop else None,
            "address": None,
        },
    }


@router.get("/me")
async def me(caller: Staff, gateway: Gateway) -> dict[str, Any]:
    """The shop, as far as the gateway knows it: how it was registered, and by whom."""
    await _working(gateway, caller)
    shop, founder = await shop_and_founder(gateway, caller.tenant)
    if shop is None:
        raise ShopUnknown
    telegram = founder.telegram_id if founder else None
    registered = shop.registered_at.isoformat()
    return {
        **DEFAULTS,
        "id": shop.number,
        "name": shop.name,
        "city": shop.city,
        "phone": founder.phone if founder else None,
        "telegram_id": str(telegram) if telegram else None,
        "telegram_username": None,
        "created_at": registered,
        "updated_at": registered,
    }


@router.post("/logout", status_code=204)
async def logout(caller: Staff, gateway: Gateway) -> Response:
    """End the session of the token: it opens nothing any more."""
    if caller.session:
        await log_out(gateway, caller)
    return Response(status_code=204)


def user(who: StaffMember) -> dict[str, Any]:
    """A member of a shop in the form of the clients."""
    telegram = who.card.telegram_id
    return {
        "id": who.number,
        "name": who.card.name,
        "phone": who.phone,
        "email": who.card.email,
        "role": who.shop_role.role,
        "is_active": who.active,
        "telegram_id": str(telegram) if telegram else None,
    }


async def _working(gateway: Deps, caller: Principal) -> StaffMember:
    return await shop_staff.working(gateway.identity, account_of(caller), caller.tenant)


async def shop_and_founder(
    gateway: Deps, tenant: str
) -> tuple[ShopRegistered | None, Person | None]:
    """The shop and its founder, whose phone is the shop's; None for what is not known."""
    shop = await shop_of(gateway.identity, tenant)
    if shop is None:
        return None, None
    founder = (await load(gateway.identity, shop.account_id)).account
    known = person_of(gateway.identity, shop.account_id, founder) if founder.known else None
    return shop, known


shops = APIRouter(
    prefix="/api/auth/shops",
    tags=["auth"],
    route_class=AuthRoute,
    dependencies=[Depends(no_store), ACCOUNTS],
)

Tenant = Annotated[str, Path(max_length=100)]
"""A shop by its tenant, as the list shows it."""


@shops.get("")
async def list_shops(caller: Staff, gateway: Gateway) -> dict[str, Any]:
    """The user's shops, then invitations; `present` is the shop of the token."""
    found = await shop_membership.memberships(gateway.identity, account_of(caller))
    items = [
        {
            "tenant": one.tenant,
            "shop_id": one.shop.number if one.shop else None,
            "shop_name": one.shop.name if one.shop else one.tenant,
            "role": one.shop_role.role,
            "owned": one.owned,
            "invited": one.invited,
            "present": one.tenant == caller.tenant,
        }
        for one in found
    ]
    return {"items": items, "total": len(items)}


@shops.post("/{tenant}/accept")
async def accept(
    tenant: Tenant, caller: Staff, request: Request, gateway: Gateway
) -> dict[str, Any]:
    """Accept an invitation: a token for that shop; 404 if there is none."""
    await shop_membership.accept(gateway.identity, account_of(caller), tenant)
    return await login(tenant, caller, request, gateway)


@shops.post("/{tenant}/login")
async def login(
    tenant: Tenant, caller: Staff, request: Request, gateway: Gateway
) -> dict[str, Any]:
    """A token for another shop one works in; 404 if one does not."""
    entered = await logins_of(gateway, request).another(account_of(caller), tenant)
    return auth_token(gateway, entered)


@shops.delete("/{tenant}", status_code=204)
async def leave(tenant: Tenant, caller: Staff, gateway: Gateway) -> Response:
    """Work there no more, or decline: 204; 400 for the last admin, 404 if one is not there."""
    await shop_membership.leave(gateway.identity, account_of(caller), tenant)
    return Response(status_code=204)
