"""Requests of the crm's clients."""

from typing import Final

from services.gateway.realms.crm.api import face, health

ROUTERS: Final = (face.logins, face.users, health.router)
