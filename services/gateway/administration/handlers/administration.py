"""Granting and withdrawing roles; deactivating and removing accounts.

Whether a superadmin is left is decided in turns: the read model says who might be one, the log who
is. One who was made a moment ago may be overlooked, never one who is gone be counted.
"""

from typing import Final

from contracts.gateway import AccountId, GatewayEvent
from libs.eventsourcing.store import Fact
from services.gateway.accounts.domain.account import Account
from services.gateway.accounts.domain.commands import (
    Activate,
    Deactivate,
    GrantRole,
    Others,
    Remove,
    WithdrawRole,
)
from services.gateway.accounts.domain.person import addresses_of
from services.gateway.accounts.domain.realm import SUPERADMIN, Place, Role
from services.gateway.accounts.handlers.address import claims, first_superadmin, releases
from services.gateway.accounts.handlers.execution import Plan, Planner, execute_with_facts
from services.gateway.accounts.handlers.identity import (
    Identity,
    Profile,
    load,
    person_of,
    profile_of,
)
from services.gateway.accounts.read_models.account import superadmins
from services.gateway.sessions.handlers.session import revoke_all

ADMINISTRATION: Final = "superadmins"


async def grant_role(
    identity: Identity, account_id: AccountId, role: Role, *, actor: str
) -> Profile:
    """Let the account act as `role`. Another role it had there ends, and with it the sessions.

    Raises RoleUnknown, AccountUnknown, AddressTaken by somebody there, LastSuperadmin, Unavailable.
    """
    before: str | None = None

    async def plan(account: Account) -> Plan:
        nonlocal before
        # Of the history that is decided on: somebody else may have given a role meanwhile.
        before = account.roles.get(role.place)
        now, others = identity.clock(), await _others(identity, account_id, account)
        command = GrantRole(account_id=account_id, role=role, others=others, now=now)
        facts = await _claimed_in(identity, account_id, account, role.place)
        if role.name == SUPERADMIN:
            facts += await first_superadmin(identity.store, account_id, role.place, now)
        return command, facts

    granted = await _serialized(identity, account_id, plan, actor)
    if before not in (None, role.name):
        await revoke_all(identity, account_id, reason="revoked", actor=actor, place=role.place)
    return profile_of(identity, account_id, granted)


async def withdraw_role(
    identity: Identity, account_id: AccountId, place: Place, *, actor: str
) -> None:
    """Let the account act there no more; its sessions there end.

    Raises AccountUnknown, LastSuperadmin, Unavailable.
    """

    async def plan(account: Account) -> Plan:
        now, others = identity.clock(), await _others(identity, account_id, account)
        command = WithdrawRole(account_id=account_id, place=place, others=others, now=now)
        if not account.known:
            return command, ()
        theirs = addresses_of(person_of(identity, account_id, account))
        left = await releases(identity, account_id, theirs, now, [place], everywhere=False)
        return command, left

    await _serialized(identity, account_id, plan, actor)
    await revoke_all(identity, account_id, reason="revoked", actor=actor, place=place)


async def deactivate(identity: Identity, account_id: AccountId, *, reason: str, actor: str) -> None:
    """Let the account open nothing for now; its sessions end.

    Raises AccountUnknown, LastSuperadmin, Unavailable.
    """

    async def plan(account: Account) -> Plan:
        now, others = identity.clock(), await _others(identity, account_id, account)
        return Deactivate(account_id=account_id, reason=reason, others=others, now=now), ()

    await _serialized(identity, account_id, plan, actor)
    await revoke_all(identity, account_id, reason="deactivated", actor=actor)


async def activate(identity: Identity, account_id: AccountId, *, actor: str) -> None:
    """Let the account open again what its roles allow. Raises AccountUnknown, Unavailable."""

    async def plan(_: Account) -> Plan:
        return Activate(account_id=account_id, now=identity.clock()), ()

    await execute_with_facts(identity, account_id, plan, actor=actor)


async def remove(identity: Identity, account_id: AccountId, *, actor: str) -> None:
    """Let the account be gone for good; its addresses are free, its sessions end.

    Raises AccountUnknown, LastSuperadmin, Unavailable; a second time changes nothing.
    """

    async def plan(account: Account) -> Plan:
        now, others = identity.clock(), await _others(identity, account_id, account)
        command = Remove(account_id=account_id, others=others, now=now)
        if not account.known:
            return command, ()
        theirs = addresses_of(person_of(identity, account_id, account))
        return command, await releases(identity, account_id, theirs, now, [*account.roles])

    await _serialized(identity, account_id, plan, actor)
    await revoke_all(identity, account_id, reason="removed", actor=actor)


async def _claimed_in(
    identity: Identity, account_id: AccountId, account: Account, place: Place
) -> list[Fact[GatewayEvent]]:
    """The facts by which the account can be found in a place where it had no role."""
    if not account.known or place in account.roles:
        return []
    theirs = addresses_of(person_of(identity, account_id, account))
    return await claims(identity, account_id, theirs, identity.clock(), [place])


async def _serialized(
    identity: Identity, account_id: AccountId, plan: Planner, actor: str
) -> Account:
    async with identity.locks.hold(ADMINISTRATION):
        return await execute_with_facts(identity, account_id, plan, actor=actor)


async def _others(identity: Identity, account_id: AccountId, account: Account) -> Others:
    """How many active superadmins there are beside it where it is one, as far as it matters."""
    return {
        place: int(await _has_another(identity, account_id, place))
        for place in account.superadmin_in
    }


async def _has_another(identity: Identity, account_id: AccountId, place: Place) -> bool:
    for other in await superadmins(identity.pool, place):
        if other != account_id and place in (await load(identity, other)).account.superadmin_in:
            return True
    return False
