"""Requests about orders (spec shop §4.1)."""

from typing import Final

from services.shop.orders.api import notes, order, payment
from services.shop.orders.api.notes import PHOTOS

__all__ = ["PHOTOS", "ROUTERS"]

ROUTERS: Final = (order.router, order.changes, notes.router, payment.router)
