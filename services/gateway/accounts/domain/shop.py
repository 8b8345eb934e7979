"""Shops as tenants: their numbers, workspaces and offers."""

from collections.abc import Mapping

from services.gateway.accounts.domain.account import Offer
from services.gateway.accounts.domain.realm import Realm, Workspace
from services.gateway.accounts.domain.shop_role import parse_shop_role


def workspace_of_shop(tenant: str) -> Workspace:
    """The workspace of a shop's staff."""
    return Workspace(Realm.SHOP, tenant)


def tenant_of(number: int) -> str:
    """The tenant of the shop with this number."""
    return f"shop-{number}"


def number_of(tenant: str) -> int | None:
    """The number of the shop that is this tenant; None if the tenant is no numbered shop."""
    number = tenant.removeprefix(tenant_of(0)[:-1])
    return int(number) if number != tenant and number.isdecimal() else None


def oldest_offer(offers: Mapping[Workspace, Offer], role: str | None = None) -> Workspace | None:
    """The shop with the oldest active offer (see `Account.offers`), with `role` only as that."""
    matching = (
        workspace
        for workspace, offer in offers.items()
        if (shop_role := parse_shop_role(offer.role)) is not None
        and workspace.realm == Realm.SHOP
        and shop_role.active
        and role in (None, shop_role.role)
    )
    return next(matching, None)
