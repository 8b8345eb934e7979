"""Requests of the storefronts."""

from typing import Final

from services.shop.storefront.api import catalogue, order

ROUTERS: Final = (catalogue.router, order.router)
