"""Access tokens: what clients carry after a login, until the next refresh.

JWTs as RFC 9068 describes them. The clients of the doors register nowhere, so `client_id` names the
realm they log in to, or that they are a device.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from libs.clock import Clock
from libs.security import tokens
from services.gateway.accounts.domain.realm import BRIDGE, DEVICE, Place, Realm

AUDIENCE = "tillstream"
ON_DEVICE, ON_BRIDGE = "device", "bridge"
"""In place of a realm: how long the token of a kiosk itself lives, and that of a scale bridge."""
DEVICES = {(Realm.KIOSK, DEVICE): ON_DEVICE, (Realm.SCALES, BRIDGE): ON_BRIDGE}
"""Which of the two by realm and role."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The token itself, and for how many seconds it is good."""

    bearer: str
    seconds: int


class AccessTokens:
    """Signs a token of its own kind for whoever is in; `lifetimes` are by realm or of `DEVICES`."""

    def __init__(
        self,
        keys: tokens.KeyRing,
        *,
        issuer: str,
        lifetimes: Mapping[str, timedelta],
        clock: Clock,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._lifetimes = lifetimes
        self._clock = clock

    def sign(
        self,
        account_id: UUID,
        place: Place,
        *,
        scopes: Iterable[str],
        session_id: UUID,
        lasting: str | None = None,
        beside: Mapping[str, object] = tokens.NOTHING,
    ) -> AccessToken:
        """A token of the session, which is worthless as soon as the session is revoked.

        It lives as long as those of its realm, or of `lasting`. `beside` is what the clients of the
        door read in it; that of a device also says which key signed it.
        """
        if lasting in DEVICES.values():
            beside = {**beside, "kid": self._keys.current.kid}
        lifetime = self._lifetimes[lasting or place.realm]
        bearer = tokens.issue(
            self._keys.current,
            subject=str(account_id),
            tenant=place.tenant,
            scopes=scopes,
            kind=place.realm,
            audience=AUDIENCE,
            issuer=self._issuer,
            now=self._clock(),
            lifetime=lifetime,
            typ=tokens.ACCESS,
            session=str(session_id),
            extra={**beside, "jti": str(uuid4()), "client_id": lasting or place.realm},
        )
        return AccessToken(bearer, int(lifetime.total_seconds()))
