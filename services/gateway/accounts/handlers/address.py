"""Claims of addresses: each address belongs to one account at a time.

The ids of the facts follow from the digest and the generation. So an owner is found by its ids,
right after it was written, and of two that claim the same generation one gets a VersionConflict.

Phones and Telegram accounts are proved, and belong to one account everywhere. E-mail addresses and
user names are only written, by an administrator or by a stranger: they are the account's in the
places where it acts, and another account may claim them in another place. The first to come has
them everywhere, those after it in their own places alone; a login looks in its place first.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

# The same as the standard library's, in half the time: a login asks for a dozen.
from uuid_utils.compat import uuid5

from contracts.gateway import AccountId, AddressClaimed, AddressReleased, GatewayEvent
from libs.errors import Refused
from libs.eventsourcing.store import EventStore, Fact
from libs.security.sealing import Seal
from services.gateway.accounts.domain.person import Address, Kind
from services.gateway.accounts.domain.realm import SUPERADMIN, Place
from services.gateway.accounts.handlers.identity import NO_ACCOUNT, Identity, load

ADDRESS_FACTS: Final = UUID("0f5ad1b8-7a53-5a0d-8f3b-6c1f5a9e2d47")
"""The namespace of the ids of these facts; with another, every address would be free again."""
GENERATIONS_AT_ONCE: Final = 3
"""Few addresses ever had more owners."""

UNPROVED: Final = frozenset({Kind.EMAIL, Kind.USERNAME})


class AddressTaken(Refused):
    """Somebody else has this address, there."""

    def __init__(self, address: Address, account_id: AccountId) -> None:
        super().__init__()
        self.address = address
        self.account_id = account_id


@dataclass(frozen=True, slots=True)
class Owned:
    """Who owns an address in this generation. Without an owner the generation may be claimed."""

    digest: str
    generation: int
    account_id: AccountId | None


def digest_of(seal: Seal, address: Address, place: Place | None = None) -> str:
    """What stands for the address in events and read models, everywhere or in a place alone."""
    if place is None:
        return seal.digest(address.kind, address.text)
    return seal.digest(f"{address.kind} in {place.realm} {place.tenant}", address.text)


async def find(identity: Identity, address: Address) -> AccountId | None:
    """Whose address it is everywhere. Raises LogUnavailable."""
    return (await owned(identity.store, digest_of(identity.seal, address))).account_id


async def owner_in(identity: Identity, address: Address, place: Place) -> AccountId | None:
    """Which account has an address in a place; as much work if none has. Raises LogUnavailable."""
    digests = [digest_of(identity.seal, address, at) for at in (place, None)]
    there, anywhere = await _owned(identity.store, digests)
    return there.account_id or anywhere.account_id


async def owned(store: EventStore[GatewayEvent], digest: str) -> Owned:
    """The present owner of what has this digest, as the log has it. Raises LogUnavailable."""
    (found,) = await _owned(store, [digest])
    return found


async def claims(
    identity: Identity,
    account_id: AccountId,
    addresses: Iterable[Address],
    now: datetime,
    places: Collection[Place] = (),
) -> list[Fact[GatewayEvent]]:
    """The facts by which an account that acts in `places` claims them: everywhere, or there alone
    if they are an account's that acts elsewhere. Raises AddressTaken, LogUnavailable."""
    facts: list[Fact[GatewayEvent]] = []
    for address in sorted(addresses, key=lambda one: (one.kind, one.text)):
        unproved = [*places] if address.kind in UNPROVED else []
        digests = [digest_of(identity.seal, address, at) for at in (None, *unproved)]
        anywhere, *there = await _owned(identity.store, digests)
        other = anywhere.account_id
        # Read even if there is none: an answer does not tell by its time who is known elsewhere.
        acts = (await load(identity, other or NO_ACCOUNT)).account.roles
        for one in there:
            if one.account_id not in (None, account_id):
                raise AddressTaken(address, one.account_id)
        if other == account_id:
            continue
        if other is None:
            missing = [] if there and all(one.account_id for one in there) else [anywhere]
        elif not unproved or any(place in acts for place in unproved):
            raise AddressTaken(address, other)
        else:
            missing = [one for one in there if one.account_id is None]
        facts += [_claim(account_id, address.kind, one, now) for one in missing]
    return facts


async def releases(
    identity: Identity,
    account_id: AccountId,
    addresses: Iterable[Address],
    now: datetime,
    places: Collection[Place] = (),
    *,
    everywhere: bool = True,
) -> list[Fact[GatewayEvent]]:
    """The facts by which the account lets go of them in `places`, and `everywhere` too, if they are
    its own. Raises LogUnavailable."""
    facts: list[Fact[GatewayEvent]] = []
    for address in sorted(addresses, key=lambda one: (one.kind, one.text)):
        unproved = [*places] if address.kind in UNPROVED else []
        wanted = [None, *unproved] if everywhere else unproved
        digests = [digest_of(identity.seal, address, at) for at in wanted]
        found = await _owned(identity.store, digests)
        mine = [one for one in found if one.account_id == account_id]
        facts += [_release(account_id, address.kind, one, now) for one in mine]
    return facts


async def _owned(store: EventStore[GatewayEvent], digests: Sequence[str]) -> list[Owned]:
    """The same of several, in one question unless one has had many owners."""
    found: dict[str, Owned] = {}
    first = 1
    while left := [digest for digest in digests if digest not in found]:
        span = range(first, first + GENERATIONS_AT_ONCE)
        told = await store.log.find([i for d in left for g in span for i in _ids(d, g)])
        for digest in left:
            for generation in span:
                claimed, released = _ids(digest, generation)
                if claimed in told and released in told:
                    continue
                by = _claimant(store.decode(told[claimed])) if claimed in told else None
                found[digest] = Owned(digest, generation, by)
                break
        first = span.stop
    return [found[digest] for digest in digests]


async def has_superadmin(store: EventStore[GatewayEvent], place: Place) -> bool:
    """Whether a place ever had a superadmin. Raises LogUnavailable."""
    return (await owned(store, _digest_of_place(place))).account_id is not None


async def first_superadmin(
    store: EventStore[GatewayEvent], account_id: AccountId, place: Place, now: datetime
) -> list[Fact[GatewayEvent]]:
    """The fact that the place has a superadmin, unless it was told.

    It is claimed like an address, once and for all, so that of two first ones only one is.
    """
    known = await owned(store, _digest_of_place(place))
    return [] if known.account_id is not None else [_claim(account_id, SUPERADMIN, known, now)]


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


def _claim(account_id: AccountId, kind: str, of: Owned, now: datetime) -> Fact[GatewayEvent]:
    digest, generation = of.digest, of.generation
    told = AddressClaimed(account_id=account_id, kind=kind, digest=digest, generation=generation)
    event_id, _ = _ids(digest, generation)
    return Fact(event_id=event_id, stream=f"address-{digest}", event=told, occurred_at=now)


def _release(account_id: AccountId, kind: str, of: Owned, now: datetime) -> Fact[GatewayEvent]:
    digest, generation = of.digest, of.generation
    told = AddressReleased(account_id=account_id, kind=kind, digest=digest, generation=generation)
    _, event_id = _ids(digest, generation)
    return Fact(event_id=event_id, stream=f"address-{digest}", event=told, occurred_at=now)
