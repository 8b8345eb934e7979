"""The members of a place, as its administrators read and change them.

Nobody else is there for them: an account without a role in the place is unknown. Who also acts
elsewhere keeps their addresses, password and standing: those are not this administrator's alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from contracts.gateway import (
    AccountActivated,
    AccountDeactivated,
    AccountId,
    AccountOpened,
    GatewayEvent,
    PersonChanged,
    RoleGranted,
    RoleWithdrawn,
)
from libs.errors import Refused
from services.gateway.accounts.domain.account import ACCOUNT, AccountUnknown, check_password
from services.gateway.accounts.domain.person import Person, addresses_of, tidy
from services.gateway.accounts.domain.realm import PLATFORM, Place, Role
from services.gateway.accounts.handlers.address import claims
from services.gateway.accounts.handlers.identity import Identity, open_person, person_of
from services.gateway.accounts.read_models.account import AccountRow
from services.gateway.administration.handlers import administration
from services.gateway.administration.handlers.account import change_person, reset_password


class ActsElsewhere(Refused):
    """This account also acts elsewhere; only its role here can be changed here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """An account with a role in a place, in the clear: not for logs, nor for events."""

    account_id: AccountId
    number: int
    person: Person
    role: str
    active: bool
    opened_at: datetime
    changed_at: datetime
    elsewhere: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """How a member shall be; None is as before."""

    person: Person | None = None
    role: str | None = None
    active: bool | None = None
    password: str | None = None


async def member(identity: Identity, account_id: AccountId, place: Place) -> Member:
    """The member as the log has it. Raises AccountUnknown, LogUnavailable."""
    events = (await identity.store.read(PLATFORM, ACCOUNT.stream(account_id))).events
    account = ACCOUNT.state_after(events)
    role = account.roles.get(place)
    if not account.known or role is None:
        raise AccountUnknown
    moments = list(_moments(events))
    return Member(
        account_id=account_id,
        number=account.number,
        person=person_of(identity, account_id, account),
        role=role,
        active=account.active,
        opened_at=moments[0],
        changed_at=moments[-1],
        elsewhere=len(account.roles) > 1,
    )


def member_of(identity: Identity, row: AccountRow, place: Place) -> Member:
    """The member as a list has it. Raises AccountUnknown if they are none there (any more)."""
    role = row.role_in(place)
    if role is None or row.removed_at is not None:
        raise AccountUnknown
    return Member(
        account_id=row.account_id,
        number=row.number,
        person=open_person(identity.seal, row.account_id, row.sealed),
        role=role,
        active=row.active,
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        elsewhere=len(row.roles) > 1,
    )


async def change(
    identity: Identity, account_id: AccountId, place: Place, wanted: Wanted, *, actor: str
) -> Member:
    """Make the member what is wanted; sessions end where the change says so.

    What can be refused is refused before anything is done, except against a race. Raises
    AccountUnknown, ActsElsewhere, AddressTaken, BadAddress, PasswordUnfit, RoleUnknown,
    LastSuperadmin, Unavailable.
    """
    now = await member(identity, account_id, place)
    await _check(identity, now, wanted, place)
    if wanted.role not in (None, now.role):
        role = Role(place, wanted.role or "")
        await administration.grant_role(identity, account_id, role, actor=actor)
    if wanted.active is not None and wanted.active != now.active:
        await _stand(identity, account_id, wanted.active, actor)
    if wanted.person is not None:
        await change_person(identity, account_id, wanted.person, actor=actor)
    if wanted.password is not None:
        await reset_password(identity, account_id, new=wanted.password, actor=actor)
    return await member(identity, account_id, place)


async def remove(identity: Identity, account_id: AccountId, place: Place, *, actor: str) -> None:
    """Let the member be gone: the account, or its role here if it acts elsewhere as well.

    Raises AccountUnknown, LastSuperadmin, Unavailable.
    """
    found = await member(identity, account_id, place)
    if found.elsewhere:
        return await administration.withdraw_role(identity, account_id, place, actor=actor)
    return await administration.remove(identity, account_id, actor=actor)


async def _check(identity: Identity, now: Member, wanted: Wanted, place: Place) -> None:
    person = None if wanted.person is None else tidy(wanted.person)
    stands = wanted.active in (None, now.active)
    if now.elsewhere and not (person in (None, now.person) and stands and wanted.password is None):
        raise ActsElsewhere
    if wanted.password is not None:
        check_password(wanted.password)
    if person is not None:
        new = addresses_of(person) - addresses_of(now.person)
        await claims(identity, now.account_id, new, identity.clock(), [place])


async def _stand(identity: Identity, account_id: AccountId, active: bool, actor: str) -> None:
    if active:
        await administration.activate(identity, account_id, actor=actor)
    else:
        reason = "by an administrator"
        await administration.deactivate(identity, account_id, reason=reason, actor=actor)


def _moments(events: Iterable[GatewayEvent]) -> Iterable[datetime]:
    """When the account changed, as the read model counts it."""
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
