"""Routes at a path that two doors share: the door decides, else the token's realm."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import Match

from services.gateway.accounts.domain.realm import Realm
from services.gateway.doors.api.cors import Scope
from services.gateway.doors.api.local_routes import door_of

BEARER: Final = re.compile(r"bearer [\w-]*\.([\w-]*)\.[\w-]*", re.ASCII | re.IGNORECASE)
SHARING: Final = frozenset({Realm.CRM.value, Realm.KIOSK.value})


class RealmRoute(APIRoute):
    """A route of one of two realms that share its path; the other's requests do not match it.

    A token of a third realm matches both routes, and is rejected with 401 by either.
    """

    realm: ClassVar[Realm]

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """See `BaseRoute`."""
        match, child = super().matches(scope)
        if match is not Match.NONE and meant_for(scope) not in (None, self.realm):
            return Match.NONE, {}
        return match, child


def meant_for(scope: Scope) -> str | None:
    """Which of the realms that share paths a request is meant for, if it says so.

    It proves nothing: whoever answers looks at the token itself.
    """
    door = door_of(scope)
    if door in SHARING:
        return door
    kind = realm_in(Headers(scope=scope).get("authorization")).get("kind")
    return kind if isinstance(kind, str) and kind in SHARING else None


def realm_in(authorization: str | None) -> Mapping[str, Any]:
    """What a bearer token claims, whoever made it; nothing if it is none."""
    shown = BEARER.fullmatch(authorization or "")
    if shown is None:
        return {}
    try:
        said = msgspec.json.decode(urlsafe_b64decode(shown[1] + "=="))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
