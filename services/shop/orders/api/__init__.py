"""Requests about orders (spec shop §4.1)."""

from typing import Final

from services.shop.orders.api import notes, order, payment
from services.shop.orders.api.notes import PHOTOS
from services.shop.orders.day import api as day

__all__ = ["PHOTOS", "ROUTERS"]

ROUTERS: Final = (order.router, order.changes, notes.router, payment.router, day.router)
