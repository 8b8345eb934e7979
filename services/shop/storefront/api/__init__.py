"""Requests of the storefronts."""

from typing import Final

from services.shop.storefront.api import catalogue, order
from services.shop.storefront.tracking import api as tracking

ROUTERS: Final = (tracking.router, catalogue.router, order.router)
