"""Requests about the stock."""

from typing import Final

from services.shop.stock.api import supplies, warehouse

ROUTERS: Final = (warehouse.router, supplies.router)
