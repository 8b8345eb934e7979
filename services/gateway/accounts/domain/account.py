"""An account: one person's password and roles. A removed account is gone for good."""

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
    OfferRole,
    Offers,
    OpenAccount,
    Others,
    Remove,
    Roles,
    SetPassword,
    StatusChange,
    WithdrawRole,
)
from services.gateway.accounts.domain.realm import CHIEFS, Place, Role, RoleUnknown, is_role

MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 128
MOST_OFFERS: Final = 20
"""How often a place may invite, or change its invitation, until it is accepted: each time is read
whenever the account logs in, and may be from a stranger."""


class AccountExists(Refused):
    """There is an account with this id."""


class AccountUnknown(NotFound):
    """There is no such account."""


class LastSuperadmin(Refused):
    """Somebody must remain who may administrate this: it is the last superadmin."""


class AlreadySetUp(Refused):
    """There is a superadmin; only an administrator can make another."""


class WrongPassword(Refused):
    """That is not the present password."""


class PasswordUnfit(Refused):
    """A password has 8 to 128 characters."""


class ActsThere(Refused):
    """The account has a role there already."""


class OfferedTooOften(Refused):
    """This place has invited the account too often without an answer."""


class OfferUnknown(NotFound):
    """There is no such invitation (any more)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """An invitation that waits for an answer; see `RoleOffered`."""

    role: str
    number: int
    sealed: str
    offered_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account as later decisions need it. `person` and `password` are sealed.

    `offers` are in the order in which the places invited it, whatever they corrected since;
    `numbers` are what places know it by that invited it, `asked` how often they did in vain;
    `joined` says since when it acts where.
    """

    number: int = 0
    person: str = ""
    password: str | None = None
    password_at: datetime | None = None
    deactivated_at: datetime | None = None
    roles: Mapping[Place, str] = field(default_factory=dict)
    offers: Mapping[Place, Offer] = field(default_factory=dict)
    numbers: Mapping[Place, int] = field(default_factory=dict)
    asked: Mapping[Place, int] = field(default_factory=dict)
    joined: Mapping[Place, datetime] = field(default_factory=dict)
    active: bool = False
    opened: bool = False
    removed: bool = False

    @property
    def known(self) -> bool:
        """Whether there is such an account (still)."""
        return self.opened and not self.removed

    @property
    def superadmin_in(self) -> frozenset[Place]:
        """Where it is one of the active superadmins, or what they are called there."""
        if not self.active:
            return frozenset()
        return frozenset(p for p, role in self.roles.items() if role == CHIEFS.get(p.realm))


def check_password(password: str) -> None:
    """Raise PasswordUnfit if nobody should have such a password."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise PasswordUnfit


def decide(account: Account, command: AccountCommand) -> list[GatewayEvent]:
    """See `Decider`. What is already so changes nothing."""
    match command:
        case OpenAccount() if account.opened:
            raise AccountExists
        case OpenAccount():
            return _opened(command)
        case Remove() if account.removed:
            return []
        case _ if not account.known:
            raise AccountUnknown
        case ChangePerson() | SetPassword():
            return [_changed_event(command)]
        case GrantRole() | WithdrawRole() | OfferRole() | AcceptOffer() | DeclineOffer():
            return _acting(account, command)
        case Deactivate() | Activate() | Remove():
            return _status_changed(account, command)
        case _:
            assert_never(command)


def _opened(command: OpenAccount) -> list[GatewayEvent]:
    of, now = command.account_id, command.now
    told: list[GatewayEvent] = [
        AccountOpened(account_id=of, number=command.number, sealed=command.person, opened_at=now)
    ]
    if command.password is not None:
        told.append(PasswordSet(account_id=of, sealed=command.password, set_at=now))
    told += [_granted(of, role, now) for role in command.roles]
    if not command.active:
        told.append(AccountDeactivated(account_id=of, reason="from the start", deactivated_at=now))
    return told


def _changed_event(command: ChangePerson | SetPassword) -> PersonChanged | PasswordSet:
    match command:
        case ChangePerson(account_id=of, person=person, now=now):
            return PersonChanged(account_id=of, sealed=person, changed_at=now)
        case SetPassword(account_id=of, password=password, set_at=at):
            return PasswordSet(account_id=of, sealed=password, set_at=at)
        case _:
            assert_never(command)


def _acting(account: Account, command: Roles | Offers) -> list[GatewayEvent]:
    match command:
        case GrantRole() | WithdrawRole():
            return _roles(account, command)
        case _:
            return _offers(account, command)


def _roles(account: Account, command: Roles) -> list[GatewayEvent]:
    match command:
        case GrantRole(role=role) if account.roles.get(role.place) == role.name:
            return []
        case GrantRole(account_id=of, role=role, now=now):
            granted = _granted(of, role, now)
            _someone_remains(account, frozenset({role.place}), command.others)
            return [granted]
        case WithdrawRole(place=place) if place not in account.roles:
            return []
        case WithdrawRole(account_id=of, place=place, now=now):
            _someone_remains(account, frozenset({place}), command.others)
            realm, tenant = place.realm, place.tenant
            return [RoleWithdrawn(account_id=of, realm=realm, tenant=tenant, withdrawn_at=now)]
        case _:
            assert_never(command)


def _offers(account: Account, command: Offers) -> list[GatewayEvent]:
    match command:
        case OfferRole(role=role) if role.place in account.roles:
            raise ActsThere
        case OfferRole():
            return _offered(account, command)
        case AcceptOffer(place=place) if place not in account.offers:
            raise OfferUnknown
        case AcceptOffer(account_id=of, place=place, person=person, now=now):
            role = Role(place, account.offers[place].role)
            changed = PersonChanged(account_id=of, sealed=person, changed_at=now)
            return [changed, _granted(of, role, now)]
        case DeclineOffer(place=place) if place not in account.offers:
            return []
        case DeclineOffer(account_id=of, place=place, now=now):
            realm, tenant = place.realm, place.tenant
            return [RoleOfferEnded(account_id=of, realm=realm, tenant=tenant, ended_at=now)]
        case _:
            assert_never(command)


def _offered(account: Account, command: OfferRole) -> list[GatewayEvent]:
    role, place = command.role, command.role.place
    if not is_role(place.realm, role.name):
        raise RoleUnknown
    before = account.offers.get(place)
    if before and (before.role, before.sealed) == (role.name, command.sealed):
        return []
    if account.asked.get(place, 0) >= MOST_OFFERS:
        raise OfferedTooOften
    return [
        RoleOffered(
            account_id=command.account_id,
            realm=place.realm,
            tenant=place.tenant,
            role=role.name,
            number=account.numbers.get(place, command.number),
            sealed=command.sealed,
            offered_at=command.now,
        )
    ]


def _status_changed(account: Account, command: StatusChange) -> list[GatewayEvent]:
    match command:
        case Activate(account_id=of, now=now):
            return [] if account.active else [AccountActivated(account_id=of, activated_at=now)]
        case Deactivate() if not account.active:
            return []
        case Deactivate(account_id=of, reason=reason, now=now):
            _someone_remains(account, account.superadmin_in, command.others)
            return [AccountDeactivated(account_id=of, reason=reason, deactivated_at=now)]
        case Remove(account_id=of, now=now):
            _someone_remains(account, account.superadmin_in, command.others)
            return [AccountRemoved(account_id=of, removed_at=now)]
        case _:
            assert_never(command)


def _granted(of: AccountId, role: Role, now: datetime) -> RoleGranted:
    realm, tenant = role.place.realm, role.place.tenant
    if not is_role(realm, role.name):
        raise RoleUnknown
    return RoleGranted(account_id=of, realm=realm, tenant=tenant, role=role.name, granted_at=now)


def _someone_remains(account: Account, places: frozenset[Place], others: Others) -> None:
    if any(others.get(place, 0) < 1 for place in places & account.superadmin_in):
        raise LastSuperadmin


def evolve(account: Account, event: GatewayEvent) -> Account:
    """See `Decider`."""
    match event:
        case AccountOpened(number=number, sealed=person):
            return Account(number=number, person=person, active=True, opened=True)
        case PersonChanged(sealed=person):
            return replace(account, person=person)
        case PasswordSet(sealed=password, set_at=at):
            return replace(account, password=password, password_at=at)
        case RoleGranted() | RoleWithdrawn() | RoleOffered() | RoleOfferEnded():
            return _acting_after(account, event)
        case AccountDeactivated(deactivated_at=at):
            return replace(account, active=False, deactivated_at=at)
        case AccountActivated():
            return replace(account, active=True)
        case AccountRemoved():
            return replace(account, active=False, removed=True)
        case _:
            # Addresses, keys and sessions have streams of their own.
            return account


def _acting_after(
    account: Account, event: RoleGranted | RoleWithdrawn | RoleOffered | RoleOfferEnded
) -> Account:
    place = Place(event.realm, event.tenant)
    offers = {at: offer for at, offer in account.offers.items() if at != place}
    others = {at: role for at, role in account.roles.items() if at != place}
    match event:
        case RoleGranted(role=role, granted_at=at):
            # Another role in the same place is no new beginning there.
            joined = {**account.joined}
            if place not in account.roles:
                joined[place] = at
            asked = {**account.asked, place: 0}
            roles = others | {place: role}
            return replace(account, roles=roles, offers=offers, joined=joined, asked=asked)
        case RoleWithdrawn():
            return replace(account, roles=others)
        case RoleOffered(role=role, number=number, sealed=sealed, offered_at=at):
            offer = Offer(role=role, number=number, sealed=sealed, offered_at=at)
            # One that was only corrected keeps its place in the order.
            offers = {**account.offers, place: offer}
            numbers = {**account.numbers, place: number}
            asked = {**account.asked, place: account.asked.get(place, 0) + 1}
            return replace(account, offers=offers, numbers=numbers, asked=asked)
        case RoleOfferEnded():
            return replace(account, offers=offers)
        case _:
            assert_never(event)


ACCOUNT: Final = Decider(category="account", initial=Account(), decide=decide, evolve=evolve)
