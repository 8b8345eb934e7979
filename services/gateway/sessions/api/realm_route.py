"""Routes at a path that two realms share: the door decides, else the token's realm."""

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
SHARING: Final = frozenset(realm.value for realm in Realm if realm.entry.shares_paths)


class RealmRoute(APIRoute):
    """A route of one of two realms that share its path; the other's requests do not match it.

    A token of a third realm matches both routes, and is rejected with 401 by either.
    """

    realm: ClassVar[Realm]

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """See `BaseRoute`."""
        match, child = super().matches(scope)
        if match is not Match.NONE and claimed_realm(scope) not in (None, self.realm):
            return Match.NONE, {}
        return match, child


def claimed_realm(scope: Scope) -> str | None:
    """The realm, of those that share paths, that the request's door or token names, if any.

    The token is not verified here: the route's permission does that.
    """
    door = door_of(scope)
    if door in SHARING:
        return door
    kind = claims_in(Headers(scope=scope).get("authorization")).get("kind")
    return kind if isinstance(kind, str) and kind in SHARING else None


def claims_in(authorization: str | None) -> Mapping[str, Any]:
    """The claims of a bearer token, not verified; empty if it cannot be parsed."""
    token = BEARER.fullmatch(authorization or "")
    if token is None:
        return {}
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(token[1] + "=="))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
