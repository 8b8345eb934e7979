"""Internal tokens: short-lived, one per caller and service."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from libs.clock import Clock, utc_now
from libs.security import tokens
from services.gateway.doors.domain.caller import Caller
from services.gateway.settings import Settings

CAPACITY: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Issued:
    caller: Caller
    bearer: str
    renew_at: datetime


class InternalTokenIssuer:
    """Signs a token per caller and audience, and reuses it until a fifth of its life is left."""

    def __init__(
        self, keys: tokens.KeyRing, *, issuer: str, lifetime: timedelta, clock: Clock
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._lifetime = lifetime
        self._clock = clock
        self._issued: dict[tuple[UUID, str, str], _Issued] = {}

    def bearer(self, caller: Caller, audience: str) -> str:
        """The value of the `Authorization` header for the service `audience`."""
        now = self._clock()
        known = self._issued.get((caller.subject, caller.session, audience))
        if known is not None and now < known.renew_at and known.caller == caller:
            return known.bearer
        issued = _Issued(caller, self._sign(caller, audience, now), now + self._lifetime * 0.8)
        if len(self._issued) >= CAPACITY:
            self._issued.clear()
        self._issued[caller.subject, caller.session, audience] = issued
        return issued.bearer

    def _sign(self, caller: Caller, audience: str, now: datetime) -> str:
        token = tokens.issue(
            self._keys.current,
            subject=str(caller.subject),
            tenant=caller.tenant,
            scopes=caller.scopes,
            kind=caller.kind,
            audience=audience,
            issuer=self._issuer,
            now=now,
            lifetime=self._lifetime,
            session=caller.session,
        )
        return f"Bearer {token}"


def internal_tokens(settings: Settings, keys: tokens.KeyRing) -> InternalTokenIssuer:
    """The issuer of internal tokens that live as long as the settings say."""
    lifetime = timedelta(seconds=settings.token_seconds)
    return InternalTokenIssuer(keys, issuer=settings.issuer, lifetime=lifetime, clock=utc_now)
