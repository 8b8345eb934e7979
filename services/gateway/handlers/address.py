"""Whose address is this? Each belongs to one account at a time, whoever asks at once.

The ids of the facts follow from the digest and the generation. So an owner is found by its ids,
right after it was written, and of two that claim the same generation one gets a VersionConflict.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from contracts.gateway import AccountId, AddressClaimed, AddressReleased, GatewayEvent
from libs.errors import Refused
from libs.eventsourcing.store import EventStore, Fact
from libs.security.sealing import Seal
from services.gateway.domain.person import Address
from services.gateway.domain.realm import SUPERADMIN, Place
from services.gateway.handlers.identity import Identity

ADDRESS_FACTS: Final = UUID("0f5ad1b8-7a53-5a0d-8f3b-6c1f5a9e2d47")
"""The namespace of the ids of these facts; with another, every address would be free again."""
GENERATIONS_AT_ONCE: Final = 8


class AddressTaken(Refused):
    """Somebody else has this address."""

    def __init__(self, address: Address, account_id: AccountId) -> None:
        super().__init__()
        self.address = address
        self.account_id = account_id


@dataclass(frozen=True, slots=True)
class Owned:
    """Who owns an address in this generation. Without an owner the generation may be claimed."""

    generation: int
    account_id: AccountId | None


def digest_of(seal: Seal, address: Address) -> str:
    """What stands for the address in events and read models."""
    return seal.digest(address.kind, address.text)


async def find(identity: Identity, address: Address) -> AccountId | None:
    """Whose address it is. Raises LogUnavailable."""
    return (await owned(identity.store, digest_of(identity.seal, address))).account_id


async def owned(store: EventStore[GatewayEvent], digest: str) -> Owned:
    """The present owner of what has this digest, as the log has it. Raises LogUnavailable."""
    first = 1
    while True:
        span = range(first, first + GENERATIONS_AT_ONCE)
        told = await store.log.find([fact_id for g in span for fact_id in _ids(digest, g)])
        for generation in span:
            claimed, released = _ids(digest, generation)
            if claimed not in told:
                return Owned(generation, None)
            if released not in told:
                return Owned(generation, _claimant(store.decode(told[claimed])))
        first = span.stop


async def claims(
    identity: Identity, account_id: AccountId, addresses: Iterable[Address], now: datetime
) -> list[Fact[GatewayEvent]]:
    """The facts by which the account claims them. Raises AddressTaken, LogUnavailable."""
    facts: list[Fact[GatewayEvent]] = []
    for address in sorted(addresses, key=lambda one: (one.kind, one.text)):
        digest = digest_of(identity.seal, address)
        owner = await owned(identity.store, digest)
        if owner.account_id == account_id:
            continue
        if owner.account_id is not None:
            raise AddressTaken(address, owner.account_id)
        facts.append(_claim(account_id, address.kind, digest, owner.generation, now))
    return facts


async def releases(
    identity: Identity, account_id: AccountId, addresses: Iterable[Address], now: datetime
) -> list[Fact[GatewayEvent]]:
    """The facts by which the account lets go of them, if they are its own."""
    facts: list[Fact[GatewayEvent]] = []
    for address in sorted(addresses, key=lambda one: (one.kind, one.text)):
        digest = digest_of(identity.seal, address)
        owner = await owned(identity.store, digest)
        if owner.account_id == account_id:
            facts.append(_release(account_id, address.kind, digest, owner.generation, now))
    return facts


async def has_superadmin(store: EventStore[GatewayEvent], place: Place) -> bool:
    """Whether a place ever had a superadmin. Raises LogUnavailable."""
    return (await owned(store, _digest_of_place(place))).account_id is not None


async def first_superadmin(
    store: EventStore[GatewayEvent], account_id: AccountId, place: Place, now: datetime
) -> list[Fact[GatewayEvent]]:
    """The fact that the place has a superadmin, unless it was told.

    It is claimed like an address, once and for all, so that of two first ones only one is.
    """
    digest = _digest_of_place(place)
    if (await owned(store, digest)).account_id is not None:
        return []
    return [_claim(account_id, SUPERADMIN, digest, 1, now)]


def _digest_of_place(place: Place) -> str:
    # Not keyed: it is no secret, and must outlive every key.
    return hashlib.sha256(f"{SUPERADMIN} {place.realm} {place.tenant}".encode()).hexdigest()


def _ids(digest: str, generation: int) -> tuple[UUID, UUID]:
    said = (f"{digest} {generation} claimed", f"{digest} {generation} released")
    return uuid5(ADDRESS_FACTS, said[0]), uuid5(ADDRESS_FACTS, said[1])


def _claimant(event: GatewayEvent) -> AccountId:
    if not isinstance(event, AddressClaimed):
        raise TypeError("an id of a claim was given to something else")
    return event.account_id


def _claim(
    account_id: AccountId, kind: str, digest: str, generation: int, now: datetime
) -> Fact[GatewayEvent]:
    told = AddressClaimed(account_id=account_id, kind=kind, digest=digest, generation=generation)
    event_id, _ = _ids(digest, generation)
    return Fact(event_id=event_id, stream=f"address-{digest}", event=told, occurred_at=now)


def _release(
    account_id: AccountId, kind: str, digest: str, generation: int, now: datetime
) -> Fact[GatewayEvent]:
    told = AddressReleased(account_id=account_id, kind=kind, digest=digest, generation=generation)
    _, event_id = _ids(digest, generation)
    return Fact(event_id=event_id, stream=f"address-{digest}", event=told, occurred_at=now)
