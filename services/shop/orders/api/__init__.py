"""Requests about orders (spec shop §4.1)."""

from typing import Final

from services.shop.orders.api import comments, order, payment

ROUTERS: Final = (order.router, comments.router, payment.router)
