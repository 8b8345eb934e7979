"""Opening an account, and changing its person or password."""

from collections.abc import Sequence

from contracts.gateway import AccountId, GatewayEvent
from libs.eventsourcing.store import Fact, new_event_id
from libs.process.fair_queue import Source
from services.gateway.accounts.domain.account import (
    Account,
    AccountUnknown,
    AlreadySetUp,
    WrongPassword,
    check_password,
)
from services.gateway.accounts.domain.commands import ChangePerson, OpenAccount, SetPassword
from services.gateway.accounts.domain.person import Person, addresses_of, tidy
from services.gateway.accounts.domain.realm import SUPERADMIN, Place, Role
from services.gateway.accounts.handlers.address import (
    claims,
    first_superadmin,
    has_superadmin,
    releases,
)
from services.gateway.accounts.handlers.execution import Plan, execute_with_facts
from services.gateway.accounts.handlers.identity import (
    Identity,
    Profile,
    load,
    open_password,
    person_of,
    profile_of,
    seal_password,
    seal_person,
)
from services.gateway.accounts.stores.id_sequence import next_number
from services.gateway.sessions.handlers.session import revoke_all


async def open_account(
    identity: Identity,
    person: Person,
    *,
    password: str | None,
    roles: Sequence[Role],
    actor: str | None,
    active: bool = True,
    source: Source | None = None,
) -> Profile:
    """Let somebody be known; at once they can log in, and nobody else has their addresses.

    `source` is what the hashing of the password queues as, if not the actor. Raises BadAddress,
    AddressTaken, PasswordUnfit, RoleUnknown, TooManyRequests, Unavailable.
    """
    return await _open(
        identity, person, password, roles, actor, active=active, first=False, source=source
    )


async def set_up(
    identity: Identity,
    person: Person,
    *,
    password: str,
    place: Place,
    source: Source | None = None,
) -> Profile:
    """Make the first superadmin of a place. Raises AlreadySetUp for everyone after, and as
    `open_account` does."""
    roles = [Role(place, SUPERADMIN)]
    return await _open(
        identity, person, password, roles, "set-up", active=True, first=True, source=source
    )


async def is_set_up(identity: Identity, place: Place) -> bool:
    """Whether a place ever had a superadmin; true at once for everybody. Raises LogUnavailable."""
    return await has_superadmin(identity.store, place)


async def change_person(
    identity: Identity, account_id: AccountId, person: Person, *, actor: str
) -> Profile:
    """Say who they are instead. Raises AccountUnknown, BadAddress, AddressTaken, Unavailable."""
    new, now = tidy(person), identity.clock()

    async def plan(account: Account) -> Plan:
        old = person_of(identity, account_id, account)
        if new == old:
            return None, ()
        before, after = addresses_of(old), addresses_of(new)
        places = [*account.roles]
        claimed = await claims(identity, account_id, after - before, now, places)
        released = await releases(identity, account_id, before - after, now, places)
        sealed = seal_person(identity.seal, account_id, new)
        command = ChangePerson(account_id=account_id, person=sealed, now=now)
        return command, [*claimed, *released]

    changed = await execute_with_facts(identity, account_id, plan, actor=actor)
    return profile_of(identity, account_id, changed)


async def change_password(identity: Identity, account_id: AccountId, *, old: str, new: str) -> None:
    """Change one's own password; all sessions end. Raises WrongPassword, PasswordUnfit,
    AccountUnknown, Unavailable."""
    check_password(new)
    account = (await load(identity, account_id)).account
    if not account.known:
        raise AccountUnknown
    if account.password is None:
        raise WrongPassword
    hashed = open_password(identity.seal, account_id, account.password)
    if not (await identity.passwords.verify(hashed, old, source=_source_of(str(account_id)))).right:
        raise WrongPassword
    await reset_password(identity, account_id, new=new, actor=str(account_id))


async def reset_password(
    identity: Identity, account_id: AccountId, *, new: str, actor: str
) -> None:
    """Give an account another password; all its sessions end. Raises PasswordUnfit,
    AccountUnknown, Unavailable."""
    check_password(new)
    hashed = await identity.passwords.hash(new, source=_source_of(actor))
    sealed = seal_password(identity.seal, account_id, hashed)

    async def plan(_: Account) -> Plan:
        now = identity.clock()
        return SetPassword(account_id=account_id, password=sealed, set_at=now), ()

    await execute_with_facts(identity, account_id, plan, actor=actor)
    await revoke_all(identity, account_id, reason="password", actor=actor)


async def _open(
    identity: Identity,
    person: Person,
    password: str | None,
    roles: Sequence[Role],
    actor: str | None,
    *,
    active: bool,
    first: bool,
    source: Source | None,
) -> Profile:
    account_id, kept = AccountId(new_event_id()), tidy(person)
    # Before the work of hashing; whoever comes in between is noticed when it is appended.
    await _opening_facts(identity, account_id, kept, roles, first=first)
    hashed = await _hashed(identity, account_id, password, source or _source_of(str(actor)))
    command = OpenAccount(
        account_id=account_id,
        number=await next_number(identity.pool),
        person=seal_person(identity.seal, account_id, kept),
        password=hashed,
        roles=tuple(roles),
        active=active,
        now=identity.clock(),
    )

    async def plan(_: Account) -> Plan:
        return command, await _opening_facts(identity, account_id, kept, roles, first=first)

    opened = await execute_with_facts(identity, account_id, plan, actor=actor or str(account_id))
    return profile_of(identity, account_id, opened)


async def _opening_facts(
    identity: Identity,
    account_id: AccountId,
    person: Person,
    roles: Sequence[Role],
    *,
    first: bool,
) -> list[Fact[GatewayEvent]]:
    now = identity.clock()
    facts: list[Fact[GatewayEvent]] = []
    for role in roles:
        if role.name == SUPERADMIN:
            told = await first_superadmin(identity.store, account_id, role.place, now)
            if first and not told:
                raise AlreadySetUp
            facts += told
    places = [role.place for role in roles]
    return [*facts, *await claims(identity, account_id, addresses_of(person), now, places)]


async def _hashed(
    identity: Identity, account_id: AccountId, password: str | None, source: Source
) -> str | None:
    if password is None:
        return None
    check_password(password)
    hashed = await identity.passwords.hash(password, source=source)
    return seal_password(identity.seal, account_id, hashed)


def _source_of(actor: str) -> Source:
    """What the work for an actor queues as: they have logged in."""
    return Source(f"actor {actor}", trusted=True)
