"""The context of commands on accounts and sessions; loading and unsealing an account."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from contracts.gateway import AccountId, GatewayEvent
from libs.clock import Clock, utc_now
from libs.eventsourcing.store import EventStore
from libs.postgres.locks import AdvisoryLock
from libs.postgres.pool import Pool
from libs.postgres.sequences import Sequence
from libs.security.passwords import Passwords
from libs.security.sealing import Seal, derive_key
from services.gateway.accounts.domain.account import ACCOUNT, Account, AccountUnknown
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import PLATFORM, Term, Workspace
from services.gateway.settings import Settings

ACCOUNT_NUMBERS: Final = Sequence("account_number")
NO_ACCOUNT: Final = AccountId(UUID(int=0))
"""The id of no account. It is loaded where none was found, so that both take equally long."""
TermOf: TypeAlias = Callable[[Workspace, str], Term]
OnRevoked: TypeAlias = Callable[[str, datetime], Awaitable[None]]
"""Called with a session's id and when it was revoked. Raises Unavailable; safe to repeat."""


async def announce_nowhere(_: str, __: datetime) -> None:
    """Do nothing: other processes learn of revoked sessions from the read model, later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The context of commands on accounts and sessions. `pool` is in system scope.

    `term_of` gives the term of sessions by workspace and role. `on_revoked` is called for every
    revoked session, before the command returns.
    """

    store: EventStore[GatewayEvent]
    pool: Pool
    seal: Seal
    passwords: Passwords
    refresh_key: bytes
    term_of: TermOf
    locks: AdvisoryLock
    on_revoked: OnRevoked = announce_nowhere
    clock: Clock = utc_now


@asynccontextmanager
async def open_identity(
    settings: Settings, store: EventStore[GatewayEvent], pool: Pool, on_revoked: OnRevoked
) -> AsyncIterator[Identity]:
    """The context of accounts and sessions, whose threads for passwords end with it."""
    passwords = Passwords(parallel=settings.password_threads)
    try:
        yield Identity(
            store=store,
            pool=pool,
            seal=settings.seal(),
            passwords=passwords,
            refresh_key=derive_key(settings.refresh_key.get_secret_value(), "refresh"),
            term_of=settings.term_of,
            locks=AdvisoryLock(pool),
            on_revoked=on_revoked,
        )
    finally:
        passwords.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """An account with its personal data in the clear: not for logs or events."""

    account_id: AccountId
    number: int
    person: Person
    roles: Mapping[Workspace, str]
    active: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """An account loaded from the log, and the version of its stream."""

    account_id: AccountId
    account: Account
    version: int


async def load(identity: Identity, account_id: AccountId) -> Loaded:
    """Load the account from the log; one never opened is not `known`. Raises LogUnavailable."""
    history = await identity.store.read(PLATFORM, ACCOUNT.stream(account_id))
    return Loaded(account_id, ACCOUNT.state_after(history.events), history.version)


async def has_changed(identity: Identity, loaded: Loaded) -> bool:
    """Whether the account has events after it was loaded. Raises LogUnavailable."""
    stream = ACCOUNT.stream(loaded.account_id)
    return bool(await identity.store.log.read(PLATFORM, stream, after=loaded.version))


async def profile(identity: Identity, account_id: AccountId) -> Profile:
    """Load an account with its personal data. Raises AccountUnknown, LogUnavailable."""
    loaded = await load(identity, account_id)
    return profile_of(identity, account_id, loaded.account)


def profile_of(identity: Identity, account_id: AccountId, account: Account) -> Profile:
    """The account with its personal data unsealed. Raises AccountUnknown, SealBroken."""
    return Profile(
        account_id=account_id,
        number=account.number,
        person=person_of(identity, account_id, account),
        roles=account.roles,
        active=account.active,
    )


def person_of(identity: Identity, account_id: AccountId, account: Account) -> Person:
    """The personal data of an account. Raises AccountUnknown, SealBroken."""
    if not account.known:
        raise AccountUnknown
    return open_person(identity.seal, account_id, account.person)


def seal_person(seal: Seal, account_id: AccountId, person: Person) -> str:
    """Personal data, sealed for events and read models."""
    return seal.seal(msgspec.json.encode(person).decode(), f"person {account_id}")


def open_person(seal: Seal, account_id: AccountId, sealed: str) -> Person:
    """Personal data unsealed. Raises SealBroken if it was sealed for another account."""
    return msgspec.json.decode(seal.open(sealed, f"person {account_id}"), type=Person)


def seal_password(seal: Seal, account_id: AccountId, hashed: str) -> str:
    """The hash of a password, sealed for events."""
    return seal.seal(hashed, f"password {account_id}")


def open_password(seal: Seal, account_id: AccountId, sealed: str) -> str:
    """The hash unsealed. Raises SealBroken if it was sealed for another account."""
    return seal.open(sealed, f"password {account_id}")
