"""Claims of addresses: an address belongs to one account at a time.

The owners of an address are numbered, from 1. The ids of the facts derive from the address's digest
and the owner's number. So the owner is read from the log by id, at once after it was written, and
of two concurrent claims of the same number one gets a VersionConflict.

Phones and Telegram accounts are proved and belong to one account in all workspaces. E-mail
addresses and user names are not proved: the first account that claims one owns it everywhere,
except in the workspaces in which another account claims it. A login checks its workspace first.
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
from services.gateway.accounts.domain.realm import SUPERADMIN, Workspace
from services.gateway.accounts.handlers.identity import NO_ACCOUNT, Identity, load

ADDRESS_FACTS: Final = UUID("0f5ad1b8-7a53-5a0d-8f3b-6c1f5a9e2d47")
"""The namespace of the ids of these facts. With another one every address would be free."""
OWNERS_AT_ONCE: Final = 3
"""Owners read in one query. Few addresses have more."""

UNPROVED: Final = frozenset({Kind.EMAIL, Kind.USERNAME})


class AddressTaken(Refused):
    """Another account has this address already."""

    def __init__(self, address: Address, account_id: AccountId) -> None:
        super().__init__()
        self.address = address
        self.account_id = account_id


@dataclass(frozen=True, slots=True)
class Ownership:
    """The last owner of an address, or, without an `account_id`, the number free to be claimed."""

    digest: str
    number: int
    account_id: AccountId | None


def digest_of(seal: Seal, address: Address, workspace: Workspace | None = None) -> str:
    """The digest of the address in events and read models: in all workspaces, or in one."""
    if workspace is None:
        return seal.digest(address.kind, address.text)
    return seal.digest(f"{address.kind} in {workspace.realm} {workspace.tenant}", address.text)


async def find(identity: Identity, address: Address) -> AccountId | None:
    """The account that owns the address in all workspaces. Raises LogUnavailable."""
    return (await ownership(identity.store, digest_of(identity.seal, address))).account_id


async def owner_in(identity: Identity, address: Address, workspace: Workspace) -> AccountId | None:
    """The owner of the address in a workspace. Takes as long if there is none (timing).

    Raises LogUnavailable.
    """
    digests = [digest_of(identity.seal, address, at) for at in (workspace, None)]
    there, anywhere = await _ownerships(identity.store, digests)
    return there.account_id or anywhere.account_id


async def ownership(store: EventStore[GatewayEvent], digest: str) -> Ownership:
    """The present owner of the address with this digest, from the log. Raises LogUnavailable."""
    (current,) = await _ownerships(store, [digest])
    return current


async def claims(
    identity: Identity,
    account_id: AccountId,
    addresses: Iterable[Address],
    now: datetime,
    workspaces: Collection[Workspace] = (),
) -> list[Fact[GatewayEvent]]:
    """The facts by which an account with roles in `workspaces` claims the addresses.

    An unproved address that an account elsewhere owns is claimed in `workspaces` only. Raises
    AddressTaken, LogUnavailable.
    """
    facts: list[Fact[GatewayEvent]] = []
    for address in sorted(addresses, key=lambda one: (one.kind, one.text)):
        unproved = [*workspaces] if address.kind in UNPROVED else []
        digests = [digest_of(identity.seal, address, at) for at in (None, *unproved)]
        anywhere, *there = await _ownerships(identity.store, digests)
        other = anywhere.account_id
        # Read even without an owner, so that the response time does not reveal one elsewhere.
        acts = (await load(identity, other or NO_ACCOUNT)).account.roles
        for one in there:
            if one.account_id not in (None, account_id):
                raise AddressTaken(address, one.account_id)
        if other == account_id:
            continue
        if other is None:
            missing = [] if there and all(one.account_id for one in there) else [anywhere]
        elif not unproved or any(workspace in acts for workspace in unproved):
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
    workspaces: Collection[Workspace] = (),
    *,
    everywhere: bool = True,
) -> list[Fact[GatewayEvent]]:
    """The facts by which the account releases the addresses it owns: in `workspaces`, and with
    `everywhere` also in all. Raises LogUnavailable."""
    facts: list[Fact[GatewayEvent]] = []
    for address in sorted(addresses, key=lambda one: (one.kind, one.text)):
        unproved = [*workspaces] if address.kind in UNPROVED else []
        claimed_in = [None, *unproved] if everywhere else unproved
        digests = [digest_of(identity.seal, address, at) for at in claimed_in]
        current = await _ownerships(identity.store, digests)
        mine = [one for one in current if one.account_id == account_id]
        facts += [_release(account_id, address.kind, one, now) for one in mine]
    return facts


async def _ownerships(store: EventStore[GatewayEvent], digests: Sequence[str]) -> list[Ownership]:
    """The present owners, in the order of `digests`; one query unless one had many owners."""
    found: dict[str, Ownership] = {}
    first = 1
    while left := [digest for digest in digests if digest not in found]:
        numbers = range(first, first + OWNERS_AT_ONCE)
        facts = await store.log.find([i for d in left for n in numbers for i in _ids(d, n)])
        for digest in left:
            for number in numbers:
                claimed, released = _ids(digest, number)
                if claimed in facts and released in facts:
                    continue
                by = _claimant(store.decode(facts[claimed])) if claimed in facts else None
                found[digest] = Ownership(digest, number, by)
                break
        first = numbers.stop
    return [found[digest] for digest in digests]


async def has_superadmin(store: EventStore[GatewayEvent], workspace: Workspace) -> bool:
    """Whether the workspace ever had a superadmin. Raises LogUnavailable."""
    return (await ownership(store, _digest_of_workspace(workspace))).account_id is not None


async def first_superadmin(
    store: EventStore[GatewayEvent], account_id: AccountId, workspace: Workspace, now: datetime
) -> list[Fact[GatewayEvent]]:
    """The fact that the workspace has its first superadmin; empty if it had one.

    Claimed like an address and never released: of concurrent first superadmins one succeeds.
    """
    known = await ownership(store, _digest_of_workspace(workspace))
    return [] if known.account_id is not None else [_claim(account_id, SUPERADMIN, known, now)]


def _digest_of_workspace(workspace: Workspace) -> str:
    # Not keyed: it is no secret, and must outlive every key.
    return hashlib.sha256(f"{SUPERADMIN} {workspace.realm} {workspace.tenant}".encode()).hexdigest()


def _ids(digest: str, number: int) -> tuple[UUID, UUID]:
    names = (f"{digest} {number} claimed", f"{digest} {number} released")
    return uuid5(ADDRESS_FACTS, names[0]), uuid5(ADDRESS_FACTS, names[1])


def _claimant(event: GatewayEvent) -> AccountId:
    if not isinstance(event, AddressClaimed):
        raise TypeError("an id of a claim was given to something else")
    return event.account_id


def _claim(account_id: AccountId, kind: str, of: Ownership, now: datetime) -> Fact[GatewayEvent]:
    event = AddressClaimed(account_id=account_id, kind=kind, digest=of.digest, generation=of.number)
    event_id, _ = _ids(of.digest, of.number)
    return Fact(event_id=event_id, stream=f"address-{of.digest}", event=event, occurred_at=now)


def _release(account_id: AccountId, kind: str, of: Ownership, now: datetime) -> Fact[GatewayEvent]:
    event = AddressReleased(
        account_id=account_id, kind=kind, digest=of.digest, generation=of.number
    )
    _, event_id = _ids(of.digest, of.number)
    return Fact(event_id=event_id, stream=f"address-{of.digest}", event=event, occurred_at=now)
