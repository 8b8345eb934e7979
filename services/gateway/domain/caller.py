"""Who stands at a door, once their key was recognised."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The holder of a key: whose data they see, and what they may do with it."""

    tenant: str
    key_id: UUID
    scopes: frozenset[str]
