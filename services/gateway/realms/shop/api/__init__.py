"""Requests of the shop's clients."""

from typing import Final

from services.gateway.realms.shop.api import current_user, directory, login, users

ROUTERS: Final = (
    login.router,
    current_user.router,
    current_user.shops,
    users.router,
    directory.router,
)
