"""Granting and withdrawing roles; deactivating and removing accounts.

A workspace keeps a superadmin: decisions that could leave it without one hold a lock. The read
model gives candidates, the log decides. A superadmin of a moment ago may be missed; one that is
gone is never counted.
"""

from typing import Final

from contracts.gateway import AccountId, GatewayEvent
from libs.eventsourcing.store import Fact
from services.gateway.accounts.domain.account import Account
from services.gateway.accounts.domain.commands import (
    Activate,
    Deactivate,
    GrantRole,
    OtherSuperadmins,
    Remove,
    WithdrawRole,
)
from services.gateway.accounts.domain.person import addresses_of
from services.gateway.accounts.domain.realm import SUPERADMIN, Role, Workspace
from services.gateway.accounts.handlers.address import claims, first_superadmin, releases
from services.gateway.accounts.handlers.execution import Plan, Planner, execute_with_facts
from services.gateway.accounts.handlers.identity import (
    Identity,
    Profile,
    load,
    person_of,
    profile_of,
)
from services.gateway.accounts.read_models.account import holders
from services.gateway.sessions.handlers.session import revoke_all

ADMINISTRATION: Final = "superadmins"


async def grant_role(
    identity: Identity, account_id: AccountId, role: Role, *, actor: str
) -> Profile:
    """Grant a role. It replaces another role in that workspace, whose sessions end.

    Raises RoleUnknown, AccountUnknown, AddressTaken if another member of the workspace has an
    address of the account, LastSuperadmin, Unavailable.
    """
    before: str | None = None

    async def plan(account: Account) -> Plan:
        nonlocal before
        # From the history that the decision is based on: a concurrent grant is seen.
        before = account.roles.get(role.workspace)
        now, others = identity.clock(), await _others(identity, account_id, account)
        command = GrantRole(account_id=account_id, role=role, others=others, now=now)
        facts = await _claimed_in(identity, account_id, account, role.workspace)
        if role.name == SUPERADMIN:
            facts += await first_superadmin(identity.store, account_id, role.workspace, now)
        return command, facts

    granted = await _serialized(identity, account_id, plan, actor)
    if before not in (None, role.name):
        await revoke_all(
            identity, account_id, reason="revoked", actor=actor, workspace=role.workspace
        )
    return profile_of(identity, account_id, granted)


async def withdraw_role(
    identity: Identity, account_id: AccountId, workspace: Workspace, *, actor: str
) -> None:
    """Withdraw the account's role in the workspace; its sessions there end.

    Raises AccountUnknown, LastSuperadmin, Unavailable.
    """

    async def plan(account: Account) -> Plan:
        now, others = identity.clock(), await _others(identity, account_id, account)
        command = WithdrawRole(account_id=account_id, workspace=workspace, others=others, now=now)
        if not account.known:
            return command, ()
        addresses = addresses_of(person_of(identity, account_id, account))
        released = await releases(
            identity, account_id, addresses, now, [workspace], everywhere=False
        )
        return command, released

    await _serialized(identity, account_id, plan, actor)
    await revoke_all(identity, account_id, reason="revoked", actor=actor, workspace=workspace)


async def deactivate(identity: Identity, account_id: AccountId, *, reason: str, actor: str) -> None:
    """Deactivate the account; its sessions end.

    Raises AccountUnknown, LastSuperadmin, Unavailable.
    """

    async def plan(account: Account) -> Plan:
        now, others = identity.clock(), await _others(identity, account_id, account)
        return Deactivate(account_id=account_id, reason=reason, others=others, now=now), ()

    await _serialized(identity, account_id, plan, actor)
    await revoke_all(identity, account_id, reason="deactivated", actor=actor)


async def activate(identity: Identity, account_id: AccountId, *, actor: str) -> None:
    """Activate the account again. Raises AccountUnknown, Unavailable."""

    async def plan(_: Account) -> Plan:
        return Activate(account_id=account_id, now=identity.clock()), ()

    await execute_with_facts(identity, account_id, plan, actor=actor)


async def remove(identity: Identity, account_id: AccountId, *, actor: str) -> None:
    """Remove the account for good: its addresses are free, its sessions end. Safe to repeat.

    Raises AccountUnknown, LastSuperadmin, Unavailable.
    """

    async def plan(account: Account) -> Plan:
        now, others = identity.clock(), await _others(identity, account_id, account)
        command = Remove(account_id=account_id, others=others, now=now)
        if not account.known:
            return command, ()
        addresses = addresses_of(person_of(identity, account_id, account))
        return command, await releases(identity, account_id, addresses, now, [*account.roles])

    await _serialized(identity, account_id, plan, actor)
    await revoke_all(identity, account_id, reason="removed", actor=actor)


async def _claimed_in(
    identity: Identity, account_id: AccountId, account: Account, workspace: Workspace
) -> list[Fact[GatewayEvent]]:
    """The claims of the account's addresses in a workspace in which it had no role."""
    if not account.known or workspace in account.roles:
        return []
    addresses = addresses_of(person_of(identity, account_id, account))
    return await claims(identity, account_id, addresses, identity.clock(), [workspace])


async def _serialized(
    identity: Identity, account_id: AccountId, plan: Planner, actor: str
) -> Account:
    async with identity.locks.hold(ADMINISTRATION):
        return await execute_with_facts(identity, account_id, plan, actor=actor)


async def _others(identity: Identity, account_id: AccountId, account: Account) -> OtherSuperadmins:
    """1 for each workspace with another active superadmin, else 0; see `OtherSuperadmins`."""
    return {
        at: int(await has_another(identity, account_id, Role(at, account.roles[at])))
        for at in account.superadmin_in
    }


async def has_another(identity: Identity, account_id: AccountId, role: Role) -> bool:
    """Whether another active account has the role: found in the read model, checked in the log."""
    for other in await holders(identity.pool, role):
        if other != account_id:
            account = (await load(identity, other)).account
            if account.active and account.roles.get(role.workspace) == role.name:
                return True
    return False
