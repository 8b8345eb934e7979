"""A caller: the holder of an API key or an access token."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

API_KEY: Final = "api-key"
"""The kind of callers with an API key. Callers with an access token have the kind of its realm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The tenant whose data the caller may use, and the scopes.

    `subject` is the id of the key or account, `session` the session of an access token. A key may
    have an expiry and a rate limit of its own.
    """

    tenant: str
    subject: UUID
    scopes: frozenset[str]
    kind: str = API_KEY
    session: str = ""
    expires_at: datetime | None = None
    requests_per_minute: int | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether the key has expired."""
        return self.expires_at is not None and now >= self.expires_at
