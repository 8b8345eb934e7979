"""Shops among the tenants: their numbers, and who is invited to them."""

from collections.abc import Mapping

from services.gateway.accounts.domain.account import Offer
from services.gateway.accounts.domain.realm import Place, Realm
from services.gateway.accounts.domain.shop_role import parse_shop_role


def place_of(tenant: str) -> Place:
    """The place in which the staff of a shop act."""
    return Place(Realm.SHOP, tenant)


def tenant_of(number: int) -> str:
    """The tenant of the shop that its clients know by this number."""
    return f"shop-{number}"


def number_of(tenant: str) -> int | None:
    """The number of the shop that is this tenant; None if it is none's."""
    number = tenant.removeprefix(tenant_of(0)[:-1])
    return int(number) if number != tenant and number.isdecimal() else None


def oldest_offer(offers: Mapping[Place, Offer], role: str | None = None) -> Place | None:
    """The shop that invited first (see `Account.offers`), as `role` if it is given.

    An offer that is off does not count.
    """
    found = (
        place
        for place, offer in offers.items()
        if (shop_role := parse_shop_role(offer.role)) is not None
        and place.realm == Realm.SHOP
        and shop_role.active
        and role in (None, shop_role.role)
    )
    return next(found, None)
