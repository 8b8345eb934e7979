"""Requests about products."""

from typing import Final

from services.shop.products.api import composition, product

ROUTERS: Final = (product.router, composition.router)
