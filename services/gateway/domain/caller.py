"""Who stands at a door, once their key or token was recognised."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

API_KEY: Final = "api-key"
"""The kind of callers who hold a key; that of people is their realm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whose data they see, and what they may do with it.

    `subject` is the id of a key, or of an account; `session` the login an account came by.
    """

    tenant: str
    subject: UUID
    scopes: frozenset[str]
    kind: str = API_KEY
    session: str = ""
