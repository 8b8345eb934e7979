"""Access tokens: JWTs by RFC 9068, from a login until the next refresh.

Clients are not registered, so `client_id` is the realm that they log in to, or their kind of
device.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from libs.clock import Clock, utc_now
from libs.http.auth import TokenVerifier
from libs.http.revocations import Revocations
from libs.http.session_check import SessionCheck
from libs.security import tokens
from services.gateway.accounts.domain.realm import DEVICES, Workspace
from services.gateway.settings import Settings

AUDIENCE = "tillstream"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The token itself, and its lifetime in seconds."""

    bearer: str
    seconds: int


class AccessTokens:
    """Signs access tokens; `lifetimes` are by realm, or by a value of `DEVICES`."""

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
        workspace: Workspace,
        *,
        scopes: Iterable[str],
        session_id: UUID,
        lifetime_of: str | None = None,
        claims: Mapping[str, object] = tokens.NOTHING,
    ) -> AccessToken:
        """A token of the session; revoking the session makes it invalid.

        It lives as long as tokens of its realm, or of `lifetime_of`. `claims` are added for the
        door's clients; the token of a device also has the claim `kid`, the key that signed it.
        """
        if lifetime_of in DEVICES.values():
            claims = {**claims, "kid": self._keys.current.kid}
        lifetime = self._lifetimes[lifetime_of or workspace.realm]
        bearer = tokens.issue(
            self._keys.current,
            subject=str(account_id),
            tenant=workspace.tenant,
            scopes=scopes,
            kind=workspace.realm,
            audience=AUDIENCE,
            issuer=self._issuer,
            now=self._clock(),
            lifetime=lifetime,
            typ=tokens.ACCESS,
            session=str(session_id),
            extra={**claims, "jti": str(uuid4()), "client_id": lifetime_of or workspace.realm},
        )
        return AccessToken(bearer, int(lifetime.total_seconds()))


def access_tokens(settings: Settings, keys: tokens.KeyRing) -> AccessTokens:
    """The signer of access tokens that live as long as the settings say."""
    issuer, lifetimes = settings.token_issuer, settings.access_lifetimes
    return AccessTokens(keys, issuer=issuer, lifetimes=lifetimes, clock=utc_now)


def make_verifier(
    settings: Settings,
    keys: tokens.KeyRing,
    revocations: Revocations,
    is_live: Callable[[str], Awaitable[bool]],
) -> TokenVerifier:
    """The verifier of access tokens; `is_live` reads a session from the log."""
    return TokenVerifier(
        audience=AUDIENCE,
        issuer=settings.token_issuer,
        keys=keys.public,
        revoked=revocations.is_revoked,
        live=SessionCheck(revocations, is_live).is_live,
        typ=tokens.ACCESS,
    )
