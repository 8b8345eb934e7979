"""Old names of `identities`; they go when no test of the API uses them."""

from typing import Any

from services.gateway.handlers.identity import Identity
from services.gateway.handlers.session import LoggedIn
from tests.services.gateway.identities import People, catch_up
from tests.services.gateway.identities import history_of as told

__all__ = ["catch_up", "enter", "told"]


async def enter(identity: Identity, *args: Any, **options: Any) -> LoggedIn:
    """See `People.enter`."""
    return await People(identity).enter(*args, **options)
