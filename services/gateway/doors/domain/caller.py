"""A caller: the holder of an API key or an access token."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

API_KEY: Final = "api-key"
"""The kind of callers who hold a key; that of people is their realm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whose data they see, and what they may do with it.

    `subject` is the id of a key, or of an account; `session` the login an account came by. A key
    may run out at `expires_at`, and have a limit of its own in `requests_per_minute`.
    """

    tenant: str
    subject: UUID
    scopes: frozenset[str]
    kind: str = API_KEY
    session: str = ""
    expires_at: datetime | None = None
    requests_per_minute: int | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether their key has run out."""
        return self.expires_at is not None and now >= self.expires_at
