"""Requests of the kiosks' clients."""

from typing import Final

from services.gateway.realms.kiosk.api import device, login, setup, users

ROUTERS: Final = (login.router, setup.router, device.router, *users.ROUTERS)
