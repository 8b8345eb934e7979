"""Requests about orders (spec shop §4.1)."""

from typing import Final

from services.shop.orders.api import comments, order, payment, photos
from services.shop.orders.api.photos import PHOTOS

__all__ = ["PHOTOS", "ROUTERS"]

ROUTERS: Final = (order.router, comments.router, payment.router, photos.router)
