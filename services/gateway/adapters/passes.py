"""Passes: the short-lived tokens by which the services behind the doors know a caller."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from libs.clock import Clock
from libs.security import tokens
from services.gateway.domain.caller import Caller

KIND: Final = "api-key"
CAPACITY: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Pass:
    caller: Caller
    bearer: str
    renew_at: datetime


class Passes:
    """Signs a pass per caller and audience, and hands it out again until a fifth of it is left."""

    def __init__(
        self, key: tokens.SigningKey, *, issuer: str, lifetime: timedelta, clock: Clock
    ) -> None:
        self._key = key
        self._issuer = issuer
        self._lifetime = lifetime
        self._clock = clock
        self._passes: dict[tuple[UUID, str], _Pass] = {}

    def bearer(self, caller: Caller, audience: str) -> str:
        """The value of the `Authorization` header that `audience` will believe."""
        now = self._clock()
        known = self._passes.get((caller.key_id, audience))
        if known is not None and now < known.renew_at and known.caller == caller:
            return known.bearer
        made = _Pass(caller, self._sign(caller, audience, now), now + self._lifetime * 0.8)
        if len(self._passes) >= CAPACITY:
            self._passes.clear()
        self._passes[caller.key_id, audience] = made
        return made.bearer

    def _sign(self, caller: Caller, audience: str, now: datetime) -> str:
        token = tokens.issue(
            self._key,
            subject=str(caller.key_id),
            tenant=caller.tenant,
            scopes=caller.scopes,
            kind=KIND,
            audience=audience,
            issuer=self._issuer,
            now=now,
            lifetime=self._lifetime,
        )
        return f"Bearer {token}"
