"""The members of a workspace, as its administrators read and change them.

An account without a role in the workspace is unknown to its administrators. Of an account that has
roles elsewhere as well they can change the role only, not addresses, password or status.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.gateway import (
    AccountActivated,
    AccountDeactivated,
    AccountId,
    AccountOpened,
    GatewayEvent,
    PersonChanged,
    RoleGranted,
    RoleOffered,
    RoleWithdrawn,
)
from libs.errors import Refused
from services.gateway.accounts.domain.account import ACCOUNT, AccountUnknown, Offer, check_password
from services.gateway.accounts.domain.person import Person, addresses_of, tidy
from services.gateway.accounts.domain.realm import PLATFORM, Role, Workspace
from services.gateway.accounts.handlers.address import claims
from services.gateway.accounts.handlers.identity import Identity, open_person, person_of
from services.gateway.accounts.read_models import account as accounts
from services.gateway.accounts.read_models.account import AccountRow
from services.gateway.administration.handlers import administration
from services.gateway.administration.handlers.account import change_person, reset_password


class ActsElsewhere(Refused):
    """This account has roles elsewhere, too; only its role here can be changed here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """An account with a role in a workspace, in the clear: not for logs or events.

    `elsewhere` says whether it has roles in other workspaces. An invited account has `invitation`
    instead of a role, whose name is `role`; its person is not revealed. An account that was ever
    invited has the number and the time of its last invitation.
    """

    account_id: AccountId
    number: int
    person: Person
    role: str
    active: bool
    opened_at: datetime
    changed_at: datetime
    elsewhere: bool
    invitation: Offer | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberChanges:
    """The changes to make to a member; None leaves a field as it is."""

    person: Person | None = None
    role: str | None = None
    active: bool | None = None
    password: str | None = None


async def load_member(identity: Identity, account_id: AccountId, workspace: Workspace) -> Member:
    """Load a member or invited account from the log. Raises AccountUnknown, LogUnavailable."""
    events = (await identity.store.read(PLATFORM, ACCOUNT.stream(account_id))).events
    account = ACCOUNT.state_after(events)
    if not account.known:
        raise AccountUnknown
    role, offer = account.roles.get(workspace), account.offers.get(workspace)
    if role is None:
        return _invited(account_id, offer)
    moments = list(_moments(events))
    return Member(
        account_id=account_id,
        number=account.numbers.get(workspace, account.number),
        person=person_of(identity, account_id, account),
        role=role,
        active=account.active,
        opened_at=_offered_at(events, workspace) or moments[0],
        changed_at=moments[-1],
        elsewhere=len(account.roles) > 1,
    )


def member_of(identity: Identity, row: AccountRow, workspace: Workspace) -> Member:
    """The member or invited account of a row of the read model. Raises AccountUnknown."""
    role, offer = row.role_in(workspace), row.offer_in(workspace)
    if row.removed_at is not None:
        raise AccountUnknown
    if role is None:
        return _invited(row.account_id, row.offer_in(workspace, pending=True))
    return Member(
        account_id=row.account_id,
        number=offer.number if offer else row.number,
        person=open_person(identity.seal, row.account_id, row.sealed),
        role=role,
        active=row.active,
        opened_at=offer.offered_at if offer else row.opened_at,
        changed_at=row.changed_at,
        elsewhere=len(row.roles) > 1,
    )


async def members(
    identity: Identity, workspace: Workspace, **options: Any
) -> tuple[Sequence[Member], int]:
    """A page of the workspace's members, by the read model, and how many there are on all pages.

    `options` are those of `in_workspace`. Raises Unavailable.
    """
    page = await accounts.in_workspace(identity.pool, workspace, **options)
    found = [
        member_of(identity, row, workspace)
        for row in page.accounts
        # A role may be withdrawn while the page is read.
        if row.role_in(workspace) or row.offer_in(workspace, pending=True)
    ]
    return found, page.total


async def find_member(identity: Identity, number: int, workspace: Workspace) -> AccountId:
    """The account with this number in the workspace; it may have left. Raises AccountUnknown."""
    row = await accounts.by_number(identity.pool, number)
    if row is None or row.offer_in(workspace):
        # An account that was invited has the number of its invitation, and not its own.
        row = await accounts.by_number_in_workspace(identity.pool, number, workspace)
    if row is None:
        raise AccountUnknown
    return row.account_id


async def change_member(
    identity: Identity,
    account_id: AccountId,
    workspace: Workspace,
    changes: MemberChanges,
    *,
    actor: str,
) -> Member:
    """Apply the changes. Another role, a new password and deactivation end sessions.

    All changes are checked before the first is applied, except for concurrent ones. Raises
    AccountUnknown, ActsElsewhere, AddressTaken, BadAddress, PasswordUnfit, RoleUnknown,
    LastSuperadmin, Unavailable.
    """
    current = await load_member(identity, account_id, workspace)
    await _check(identity, current, changes, workspace)
    if changes.role not in (None, current.role):
        role = Role(workspace, changes.role or "")
        await administration.grant_role(identity, account_id, role, actor=actor)
    if changes.active is not None and changes.active != current.active:
        await _set_active(identity, account_id, changes.active, actor)
    if changes.person is not None:
        await change_person(identity, account_id, changes.person, actor=actor)
    if changes.password is not None:
        await reset_password(identity, account_id, new=changes.password, actor=actor)
    return await load_member(identity, account_id, workspace)


async def remove_member(
    identity: Identity, account_id: AccountId, workspace: Workspace, *, actor: str
) -> None:
    """Remove the account, or only its role in the workspace if it has roles elsewhere.

    Raises AccountUnknown, LastSuperadmin, Unavailable.
    """
    current = await load_member(identity, account_id, workspace)
    if current.elsewhere:
        return await administration.withdraw_role(identity, account_id, workspace, actor=actor)
    return await administration.remove(identity, account_id, actor=actor)


async def _check(
    identity: Identity, current: Member, changes: MemberChanges, workspace: Workspace
) -> None:
    person = None if changes.person is None else tidy(changes.person)
    same_person = person in (None, current.person)
    same_status = changes.active in (None, current.active)
    only_role = same_person and same_status and changes.password is None
    if current.elsewhere and not only_role:
        raise ActsElsewhere
    if changes.password is not None:
        check_password(changes.password)
    if person is not None:
        new = addresses_of(person) - addresses_of(current.person)
        await claims(identity, current.account_id, new, identity.clock(), [workspace])


async def _set_active(identity: Identity, account_id: AccountId, active: bool, actor: str) -> None:
    if active:
        await administration.activate(identity, account_id, actor=actor)
    else:
        reason = "by an administrator"
        await administration.deactivate(identity, account_id, reason=reason, actor=actor)


def _invited(account_id: AccountId, offer: Offer | None) -> Member:
    if offer is None:
        raise AccountUnknown
    return Member(
        account_id=account_id,
        number=offer.number,
        person=Person(),
        role=offer.role,
        active=True,
        opened_at=offer.offered_at,
        changed_at=offer.offered_at,
        elsewhere=False,
        invitation=offer,
    )


def _offered_at(events: Iterable[GatewayEvent], workspace: Workspace) -> datetime | None:
    """When the workspace last offered a role to the account; None if it never did."""
    offered = [
        event.offered_at
        for event in events
        if isinstance(event, RoleOffered) and Workspace(event.realm, event.tenant) == workspace
    ]
    return offered[-1] if offered else None


def _moments(events: Iterable[GatewayEvent]) -> Iterable[datetime]:
    """The times of the account's changes, by the same rule as `changed_at` of the read model."""
    for event in events:
        match event:
            case (
                AccountOpened(opened_at=at)
                | PersonChanged(changed_at=at)
                | RoleGranted(granted_at=at)
                | RoleWithdrawn(withdrawn_at=at)
                | AccountDeactivated(deactivated_at=at)
                | AccountActivated(activated_at=at)
            ):
                yield at
            case _:
                continue
