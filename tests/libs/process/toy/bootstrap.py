"""Build the bakery."""

from typing import Final

from contracts.gateway import SESSIONS, SessionRevoked
from libs.process.service import Revocation, Service
from tests.libs.process.toy.settings import Settings

SERVICE: Final = Service(
    name="bakery",
    settings=Settings,
    revocation=Revocation(SESSIONS, SessionRevoked),
    package="tests.libs.process.toy",
)
