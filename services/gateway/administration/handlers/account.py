"""Opening an account, and changing its person or password."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from services.gateway.accounts.domain.realm import SUPERADMIN, Role, Workspace
from services.gateway.accounts.handlers.address import (
    claims,
    first_superadmin,
    has_superadmin,
    releases,
)
from services.gateway.accounts.handlers.execution import Plan, execute_with_facts
from services.gateway.accounts.handlers.identity import (
    ACCOUNT_NUMBERS,
    Identity,
    Profile,
    load,
    open_password,
    person_of,
    profile_of,
    seal_password,
    seal_person,
)
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
    account_id: AccountId | None = None,
    facts: Sequence[Fact[GatewayEvent]] = (),
) -> Profile:
    """Open an account. It can log in at once, and owns its addresses.

    `source` is the queue of the password's hashing, by default the actor's. `facts` are appended
    with the account, whose id may be given for that. Raises BadAddress, AddressTaken,
    PasswordUnfit, RoleUnknown, TooManyRequests, Unavailable.
    """
    opening = _Opening(account_id or AccountId(new_event_id()), tidy(person), tuple(roles), facts)
    return await _open(identity, opening, password, actor, active=active, source=source)


async def set_up(
    identity: Identity,
    person: Person,
    *,
    password: str,
    workspace: Workspace,
    source: Source | None = None,
) -> Profile:
    """Open the account of the first superadmin of a workspace.

    Raises AlreadySetUp if there was one, and as `open_account`.
    """
    roles = (Role(workspace, SUPERADMIN),)
    opening = _Opening(AccountId(new_event_id()), tidy(person), roles, first=True)
    return await _open(identity, opening, password, "set-up", active=True, source=source)


async def is_set_up(identity: Identity, workspace: Workspace) -> bool:
    """Whether the workspace ever had a superadmin, by the log. Raises LogUnavailable."""
    return await has_superadmin(identity.store, workspace)


async def change_person(
    identity: Identity, account_id: AccountId, person: Person, *, actor: str
) -> Profile:
    """Replace the personal data. Raises AccountUnknown, BadAddress, AddressTaken, Unavailable."""
    new = tidy(person)
    return await update_person(identity, account_id, lambda _: new, actor=actor)


async def update_person(
    identity: Identity, account_id: AccountId, change: Callable[[Person], Person], *, actor: str
) -> Profile:
    """Change the personal data; `change` may run again after a race. Raises as `change_person`."""

    async def plan(account: Account) -> Plan:
        old = person_of(identity, account_id, account)
        new, now = tidy(change(old)), identity.clock()
        if new == old:
            return None, ()
        before, after = addresses_of(old), addresses_of(new)
        workspaces = [*account.roles]
        claimed = await claims(identity, account_id, after - before, now, workspaces)
        released = await releases(identity, account_id, before - after, now, workspaces)
        sealed = seal_person(identity.seal, account_id, new)
        command = ChangePerson(account_id=account_id, person=sealed, now=now)
        return command, [*claimed, *released]

    changed = await execute_with_facts(identity, account_id, plan, actor=actor)
    return profile_of(identity, account_id, changed)


async def change_password(identity: Identity, account_id: AccountId, *, old: str, new: str) -> None:
    """Change a password by the `old` one; all sessions end. Raises WrongPassword, PasswordUnfit,
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
    """Set another password; all sessions end. Raises PasswordUnfit, AccountUnknown, Unavailable."""
    check_password(new)
    hashed = await identity.passwords.hash(new, source=_source_of(actor))
    sealed = seal_password(identity.seal, account_id, hashed)

    async def plan(_: Account) -> Plan:
        now = identity.clock()
        return SetPassword(account_id=account_id, password=sealed, set_at=now), ()

    await execute_with_facts(identity, account_id, plan, actor=actor)
    await revoke_all(identity, account_id, reason="password", actor=actor)


@dataclass(frozen=True, slots=True)
class _Opening:
    """An account to open, and facts to append with it; with `first` of a first superadmin."""

    account_id: AccountId
    person: Person
    roles: tuple[Role, ...]
    facts: Sequence[Fact[GatewayEvent]] = ()
    first: bool = False


async def _open(
    identity: Identity,
    opening: _Opening,
    password: str | None,
    actor: str | None,
    *,
    active: bool,
    source: Source | None,
) -> Profile:
    account_id = opening.account_id
    # Refused before the work of hashing; concurrent claims are refused when it is appended.
    await _opening_facts(identity, opening)
    hashed = await _hashed(identity, account_id, password, source or _source_of(str(actor)))
    command = OpenAccount(
        account_id=account_id,
        number=await ACCOUNT_NUMBERS.next(identity.pool),
        person=seal_person(identity.seal, account_id, opening.person),
        password=hashed,
        roles=opening.roles,
        active=active,
        now=identity.clock(),
    )

    async def plan(_: Account) -> Plan:
        return command, await _opening_facts(identity, opening)

    account = await execute_with_facts(identity, account_id, plan, actor=actor or str(account_id))
    return profile_of(identity, account_id, account)


async def _opening_facts(identity: Identity, opening: _Opening) -> list[Fact[GatewayEvent]]:
    now, account_id = identity.clock(), opening.account_id
    facts = [*opening.facts]
    for role in opening.roles:
        if role.name == SUPERADMIN:
            claimed = await first_superadmin(identity.store, account_id, role.workspace, now)
            if opening.first and not claimed:
                raise AlreadySetUp
            facts += claimed
    workspaces = [role.workspace for role in opening.roles]
    addresses = addresses_of(opening.person)
    return [*facts, *await claims(identity, account_id, addresses, now, workspaces)]


async def _hashed(
    identity: Identity, account_id: AccountId, password: str | None, source: Source
) -> str | None:
    if password is None:
        return None
    check_password(password)
    hashed = await identity.passwords.hash(password, source=source)
    return seal_password(identity.seal, account_id, hashed)


def _source_of(actor: str) -> Source:
    """The queue of an actor's work. It is trusted: the actor has logged in."""
    return Source(f"actor {actor}", trusted=True)
