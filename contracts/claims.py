"""The events of claims (`libs.eventsourcing.claims`), in every service that has some.

The stream is `claim-<kind>-<digest of the key>`. A service names them in its own `EVENTS`, too, and
declares the topic `<service>.claim`.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyClaimed:
    """The key got an owner, for example the stream of a customer."""

    owner: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyReleased:
    """The key is free again."""

    owner: str


ClaimEvent: TypeAlias = KeyClaimed | KeyReleased
EVENTS: Final = (KeyClaimed, KeyReleased)
