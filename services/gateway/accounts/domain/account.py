"""An account: the password and the roles of one person or device. Removal is final."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, assert_never

from contracts.gateway import (
    AccountActivated,
    AccountDeactivated,
    AccountId,
    AccountOpened,
    AccountRemoved,
    GatewayEvent,
    PasswordSet,
    PersonChanged,
    RoleGranted,
    RoleOffered,
    RoleOfferEnded,
    RoleWithdrawn,
)
from libs.errors import NotFound, Refused
from libs.eventsourcing.decider import Decider
from services.gateway.accounts.domain.commands import (
    AcceptOffer,
    AccountCommand,
    Activate,
    ChangePerson,
    Deactivate,
    DeclineOffer,
    GrantRole,
    OfferCommand,
    OfferRole,
    OpenAccount,
    OtherSuperadmins,
    Remove,
    RoleCommand,
    SetPassword,
    StatusCommand,
    WithdrawRole,
)
from services.gateway.accounts.domain.realm import CHIEFS, Role, RoleUnknown, Workspace, is_role

MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 128
MOST_OFFERS: Final = 20
"""How often a workspace may offer a role, changes included, before one is accepted. Each offer is
an event that every login of the account reads, and the workspace may be a stranger's."""


class AccountExists(Refused):
    """There is an account with this id."""


class AccountUnknown(NotFound):
    """There is no such account."""


class LastSuperadmin(Refused):
    """The last superadmin must remain: no other account can administrate this."""


class AlreadySetUp(Refused):
    """There is a superadmin; only an administrator can make another."""


class WrongPassword(Refused):
    """That is not the present password."""


class PasswordUnfit(Refused):
    """A password has 8 to 128 characters."""


class ActsThere(Refused):
    """The account has a role there already."""


class OfferedTooOften(Refused):
    """The account was invited too often without an answer."""


class OfferUnknown(NotFound):
    """There is no such invitation (any more)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """An offered role that is neither accepted nor declined; see `RoleOffered`."""

    role: str
    number: int
    sealed: str
    offered_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The state of an account. `person` and `password` are sealed.

    `offers` are ordered by the first offer of each workspace. `numbers` are the numbers by which
    inviting workspaces know the account, `offer_counts` their offers since it last got a role
    there, and `joined` when it got its first role there.
    """

    number: int = 0
    person: str = ""
    password: str | None = None
    password_at: datetime | None = None
    deactivated_at: datetime | None = None
    roles: Mapping[Workspace, str] = field(default_factory=dict)
    offers: Mapping[Workspace, Offer] = field(default_factory=dict)
    numbers: Mapping[Workspace, int] = field(default_factory=dict)
    offer_counts: Mapping[Workspace, int] = field(default_factory=dict)
    joined: Mapping[Workspace, datetime] = field(default_factory=dict)
    active: bool = False
    exists: bool = False
    removed: bool = False

    @property
    def known(self) -> bool:
        """Whether the account was opened and not removed."""
        return self.exists and not self.removed

    @property
    def superadmin_in(self) -> frozenset[Workspace]:
        """The workspaces in which the account is active in the highest role: see `CHIEFS`."""
        if not self.active:
            return frozenset()
        return frozenset(p for p, role in self.roles.items() if role == CHIEFS.get(p.realm))


def check_password(password: str) -> None:
    """Raise PasswordUnfit unless the password has 8 to 128 characters."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise PasswordUnfit


def decide(account: Account, command: AccountCommand) -> list[GatewayEvent]:
    """See `Decider`. A command without effect gives no events."""
    match command:
        case OpenAccount() if account.exists:
            raise AccountExists
        case OpenAccount():
            return _opening_events(command)
        case Remove() if account.removed:
            return []
        case _ if not account.known:
            raise AccountUnknown
        case ChangePerson() | SetPassword():
            return [_changed_event(command)]
        case GrantRole() | WithdrawRole() | OfferRole() | AcceptOffer() | DeclineOffer():
            return _membership_events(account, command)
        case Deactivate() | Activate() | Remove():
            return _status_events(account, command)
        case _:
            assert_never(command)


def _opening_events(command: OpenAccount) -> list[GatewayEvent]:
    account_id, now = command.account_id, command.now
    events: list[GatewayEvent] = [
        AccountOpened(
            account_id=account_id, number=command.number, sealed=command.person, opened_at=now
        )
    ]
    if command.password is not None:
        events.append(PasswordSet(account_id=account_id, sealed=command.password, set_at=now))
    events += [_granted(account_id, role, now) for role in command.roles]
    if not command.active:
        events.append(
            AccountDeactivated(account_id=account_id, reason="from the start", deactivated_at=now)
        )
    return events


def _changed_event(command: ChangePerson | SetPassword) -> PersonChanged | PasswordSet:
    match command:
        case ChangePerson(account_id=account_id, person=person, now=now):
            return PersonChanged(account_id=account_id, sealed=person, changed_at=now)
        case SetPassword(account_id=account_id, password=password, set_at=at):
            return PasswordSet(account_id=account_id, sealed=password, set_at=at)
        case _:
            assert_never(command)


def _membership_events(account: Account, command: RoleCommand | OfferCommand) -> list[GatewayEvent]:
    match command:
        case GrantRole() | WithdrawRole():
            return _role_events(account, command)
        case _:
            return _offer_events(account, command)


def _role_events(account: Account, command: RoleCommand) -> list[GatewayEvent]:
    match command:
        case GrantRole(role=role) if account.roles.get(role.workspace) == role.name:
            return []
        case GrantRole(account_id=account_id, role=role, now=now):
            granted = _granted(account_id, role, now)
            _check_superadmin_remains(account, frozenset({role.workspace}), command.others)
            return [granted]
        case WithdrawRole(workspace=workspace) if workspace not in account.roles:
            return []
        case WithdrawRole(account_id=account_id, workspace=workspace, now=now):
            _check_superadmin_remains(account, frozenset({workspace}), command.others)
            realm, tenant = workspace.realm, workspace.tenant
            return [
                RoleWithdrawn(account_id=account_id, realm=realm, tenant=tenant, withdrawn_at=now)
            ]
        case _:
            assert_never(command)


def _offer_events(account: Account, command: OfferCommand) -> list[GatewayEvent]:
    match command:
        case OfferRole(role=role) if role.workspace in account.roles:
            raise ActsThere
        case OfferRole():
            return _offered(account, command)
        case AcceptOffer(workspace=workspace) if workspace not in account.offers:
            raise OfferUnknown
        case AcceptOffer(account_id=account_id, workspace=workspace, person=person, now=now):
            role = Role(workspace, account.offers[workspace].role)
            changed = PersonChanged(account_id=account_id, sealed=person, changed_at=now)
            return [changed, _granted(account_id, role, now)]
        case DeclineOffer(workspace=workspace) if workspace not in account.offers:
            return []
        case DeclineOffer(account_id=account_id, workspace=workspace, now=now):
            realm, tenant = workspace.realm, workspace.tenant
            return [RoleOfferEnded(account_id=account_id, realm=realm, tenant=tenant, ended_at=now)]
        case _:
            assert_never(command)


def _offered(account: Account, command: OfferRole) -> list[GatewayEvent]:
    role, workspace = command.role, command.role.workspace
    if not is_role(workspace.realm, role.name):
        raise RoleUnknown
    before = account.offers.get(workspace)
    if before and (before.role, before.sealed) == (role.name, command.sealed):
        return []
    if account.offer_counts.get(workspace, 0) >= MOST_OFFERS:
        raise OfferedTooOften
    return [
        RoleOffered(
            account_id=command.account_id,
            realm=workspace.realm,
            tenant=workspace.tenant,
            role=role.name,
            number=account.numbers.get(workspace, command.number),
            sealed=command.sealed,
            offered_at=command.now,
        )
    ]


def _status_events(account: Account, command: StatusCommand) -> list[GatewayEvent]:
    match command:
        case Activate(account_id=account_id, now=now):
            return (
                []
                if account.active
                else [AccountActivated(account_id=account_id, activated_at=now)]
            )
        case Deactivate() if not account.active:
            return []
        case Deactivate(account_id=account_id, reason=reason, now=now):
            _check_superadmin_remains(account, account.superadmin_in, command.others)
            return [AccountDeactivated(account_id=account_id, reason=reason, deactivated_at=now)]
        case Remove(account_id=account_id, now=now):
            _check_superadmin_remains(account, account.superadmin_in, command.others)
            return [AccountRemoved(account_id=account_id, removed_at=now)]
        case _:
            assert_never(command)


def _granted(account_id: AccountId, role: Role, now: datetime) -> RoleGranted:
    realm, tenant = role.workspace.realm, role.workspace.tenant
    if not is_role(realm, role.name):
        raise RoleUnknown
    return RoleGranted(
        account_id=account_id, realm=realm, tenant=tenant, role=role.name, granted_at=now
    )


def _check_superadmin_remains(
    account: Account, workspaces: frozenset[Workspace], others: OtherSuperadmins
) -> None:
    if any(others.get(workspace, 0) < 1 for workspace in workspaces & account.superadmin_in):
        raise LastSuperadmin


def evolve(account: Account, event: GatewayEvent) -> Account:
    """See `Decider`."""
    match event:
        case AccountOpened(number=number, sealed=person):
            return Account(number=number, person=person, active=True, exists=True)
        case PersonChanged(sealed=person):
            return replace(account, person=person)
        case PasswordSet(sealed=password, set_at=at):
            return replace(account, password=password, password_at=at)
        case RoleGranted() | RoleWithdrawn() | RoleOffered() | RoleOfferEnded():
            return _after_membership_event(account, event)
        case AccountDeactivated(deactivated_at=at):
            return replace(account, active=False, deactivated_at=at)
        case AccountActivated():
            return replace(account, active=True)
        case AccountRemoved():
            return replace(account, active=False, removed=True)
        case _:
            # Addresses, keys and sessions have streams of their own.
            return account


def _after_membership_event(
    account: Account, event: RoleGranted | RoleWithdrawn | RoleOffered | RoleOfferEnded
) -> Account:
    workspace = Workspace(event.realm, event.tenant)
    offers = {at: offer for at, offer in account.offers.items() if at != workspace}
    others = {at: role for at, role in account.roles.items() if at != workspace}
    match event:
        case RoleGranted(role=role, granted_at=at):
            # A change of role does not change when the account joined.
            joined = {**account.joined}
            if workspace not in account.roles:
                joined[workspace] = at
            offer_counts = {**account.offer_counts, workspace: 0}
            roles = others | {workspace: role}
            return replace(
                account, roles=roles, offers=offers, joined=joined, offer_counts=offer_counts
            )
        case RoleWithdrawn():
            return replace(account, roles=others)
        case RoleOffered(role=role, number=number, sealed=sealed, offered_at=at):
            offer = Offer(role=role, number=number, sealed=sealed, offered_at=at)
            # A changed offer keeps its position in the order.
            offers = {**account.offers, workspace: offer}
            numbers = {**account.numbers, workspace: number}
            offer_counts = {
                **account.offer_counts,
                workspace: account.offer_counts.get(workspace, 0) + 1,
            }
            return replace(account, offers=offers, numbers=numbers, offer_counts=offer_counts)
        case RoleOfferEnded():
            return replace(account, offers=offers)
        case _:
            assert_never(event)


ACCOUNT: Final = Decider(category="account", initial=Account(), decide=decide, evolve=evolve)
