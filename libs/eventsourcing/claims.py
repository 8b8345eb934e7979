"""Claims: a key has at most one owner, for example a phone one customer in a shop.

A claim is a stream of its own, by the key. Its events are appended together with those of the owner
by `execute_many`, with `CLAIM` among the aggregates:

    claim = claim_id("phone", phone, digest=seal.digest)
    await execute_many(store, [(CUSTOMER, customer_id), (CLAIM, claim)], decide, ...)

where `decide` returns `CLAIM.decide(states.of(CLAIM, claim), ClaimKey(customer_id))` for the
stream `CLAIM.stream(claim)`. Of two owners that claim a key at once one is refused. The contract of
the service has the events of `contracts.claims`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never

from contracts.claims import ClaimEvent, KeyClaimed, KeyReleased
from libs.errors import Refused
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.store import EventStore


class Taken(Refused):
    """Another owner has this already."""

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner


@dataclass(frozen=True, slots=True)
class ClaimKey:
    """Make `owner` the owner, unless there is another one."""

    owner: str


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """Free the key if `owner` has it."""

    owner: str


@dataclass(frozen=True, slots=True)
class MoveKey:
    """Make `to` the owner in place of `owner`, or if there is none."""

    owner: str
    to: str


ClaimCommand: TypeAlias = ClaimKey | ReleaseKey | MoveKey


def plain_digest(kind: str, key: str) -> str:
    """SHA-256 of a key that is not personal, as 64 hexadecimal digits."""
    return hashlib.sha256(f"{kind}\0{key}".encode()).hexdigest()


def claim_id(kind: str, key: str, *, digest: Callable[[str, str], str] = plain_digest) -> str:
    """The id of the claim of a key among the keys of this kind, which is a stored name.

    Keys are equal if they are the same text, so normalise them first. The digest of a personal key
    must not be guessable: `Seal.digest`, by a key of the service that is never changed.
    """
    return f"{kind}-{digest(kind, key)}"


def decide(owner: str | None, command: ClaimCommand) -> list[ClaimEvent]:
    """The changes of a claim. Nothing if the owner has the key already, or has released it.

    Raises Taken.
    """
    match command:
        case ClaimKey(new):
            return _claimed(owner, new)
        case ReleaseKey(old):
            return [KeyReleased(owner=old)] if owner == old else []
        case MoveKey(old, new) if owner == old != new:
            return [KeyReleased(owner=old), KeyClaimed(owner=new)]
        case MoveKey(_, new):
            return _claimed(owner, new)
        case _:
            assert_never(command)


def evolve(_: str | None, event: ClaimEvent) -> str | None:
    """The owner after an event, None if the key is free."""
    match event:
        case KeyClaimed(owner=owner):
            return owner
        case KeyReleased():
            return None
        case _:
            assert_never(event)


CLAIM: Final[Decider[str | None, ClaimCommand, ClaimEvent]] = Decider(
    category="claim", initial=None, decide=decide, evolve=evolve
)
"""A claim as an aggregate. Its state is the owner of the key, or None."""


async def owner_of(store: EventStore[Any], tenant: str, claim: str) -> str | None:
    """The present owner of a claim, by the log. Raises LogUnavailable."""
    history = await store.read(tenant, CLAIM.stream(claim))
    return CLAIM.state_after(history.events)


def _claimed(owner: str | None, new: str) -> list[ClaimEvent]:
    if owner not in (None, new):
        raise Taken(owner)
    return [] if owner == new else [KeyClaimed(owner=new)]
