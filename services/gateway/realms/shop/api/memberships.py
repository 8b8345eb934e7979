"""Routes of one's own memberships in shops: list, accept, log in, leave.

For clients that know more than one shop. Others do it in the bot, by `/shops`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from services.gateway.context import Gateway
from services.gateway.doors.api.awaited import ACCOUNTS
from services.gateway.realms.shop.api.current_user import Staff
from services.gateway.realms.shop.api.login import no_store
from services.gateway.realms.shop.api.token import AuthRoute, auth_token
from services.gateway.realms.shop.handlers import membership as shop_membership
from services.gateway.realms.shop.handlers.login import enter_another
from services.gateway.sessions.api.login import device_of
from services.gateway.sessions.api.realm_permission import account_of

router = APIRouter(
    prefix="/api/auth/shops",
    tags=["auth"],
    route_class=AuthRoute,
    dependencies=[Depends(no_store), ACCOUNTS],
)

Tenant = Annotated[str, Path(max_length=100)]
"""A shop by its tenant, as the list shows it."""


@router.get("/", include_in_schema=False)
@router.get("")
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


@router.post("/{tenant}/accept/", include_in_schema=False)
@router.post("/{tenant}/accept")
async def accept(
    tenant: Tenant, caller: Staff, request: Request, gateway: Gateway
) -> dict[str, Any]:
    """Accept an invitation: a token for that shop; 404 if there is none."""
    await shop_membership.accept(gateway.identity, account_of(caller), tenant)
    return await login(tenant, caller, request, gateway)


@router.post("/{tenant}/login/", include_in_schema=False)
@router.post("/{tenant}/login")
async def login(
    tenant: Tenant, caller: Staff, request: Request, gateway: Gateway
) -> dict[str, Any]:
    """A token for another shop one works in; 404 if one does not."""
    entered = await enter_another(
        gateway.identity, account_of(caller), tenant, device=device_of(request)
    )
    return auth_token(gateway, entered)


@router.delete("/{tenant}/", status_code=204, include_in_schema=False)
@router.delete("/{tenant}", status_code=204)
async def leave(tenant: Tenant, caller: Staff, gateway: Gateway) -> Response:
    """Work there no more, or decline: 204; 400 for the last admin, 404 if one is not there."""
    await shop_membership.leave(gateway.identity, account_of(caller), tenant)
    return Response(status_code=204)
