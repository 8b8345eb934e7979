"""Old names of `identities`; they go when no test of the API uses them."""

from tests.services.gateway.identities import catch_up, enter
from tests.services.gateway.identities import history_of as told

__all__ = ["catch_up", "enter", "told"]
