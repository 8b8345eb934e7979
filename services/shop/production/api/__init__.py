"""Requests about production."""

from typing import Final

from services.shop.production.api import queue, tasks

ROUTERS: Final = (tasks.router, queue.router)
