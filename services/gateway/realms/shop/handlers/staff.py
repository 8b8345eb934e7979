"""The staff of a shop: its members and invited persons, with the shop's cards of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import msgspec

from contracts.gateway import AccountId
from libs.errors import Forbidden, NotFound, Refused
from services.gateway.accounts.domain import person as people
from services.gateway.accounts.domain.account import AccountUnknown
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.accounts.domain.shop_role import ShopRole, parse_shop_role
from services.gateway.accounts.handlers.address import find
from services.gateway.accounts.handlers.identity import Identity, Loaded, person_of
from services.gateway.administration.handlers.account import update_person
from services.gateway.administration.handlers.member import (
    Member,
    find_member,
    load_member,
    members,
)
from services.gateway.realms.shop.domain import Card, Invitation, card_of, with_card

MOST: Final = 1000
"""The largest staff of a shop that is listed."""


class NotStaff(NotFound):
    """The account is neither a member of the shop nor invited."""


class LastAdmin(Refused):
    """A shop must have an admin: it is the last one."""


class SwitchedOff(Forbidden):
    """The member is deactivated in this shop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StaffMember:
    """A member of a shop or an `invited` person, in the clear: not for logs or events.

    `phone` is E.164; `active` whether the member may log in to the shop. An invited person has only
    what the shop wrote: it learns nothing of the account before it accepts.
    """

    account_id: AccountId
    number: int
    phone: str | None
    card: Card
    shop_role: ShopRole
    active: bool
    invited: bool
    opened_at: datetime
    changed_at: datetime


async def member_of(identity: Identity, account_id: AccountId, tenant: str) -> StaffMember:
    """Load a member or invited person from the log. Raises NotStaff, LogUnavailable."""
    try:
        member = await load_member(identity, account_id, workspace_of_shop(tenant))
    except AccountUnknown:
        raise NotStaff from None
    return _staff_member(identity, member, tenant)


async def working(identity: Identity, account_id: AccountId, tenant: str) -> StaffMember:
    """Load an active member from the log. Raises NotStaff, SwitchedOff, LogUnavailable."""
    member = await member_of(identity, account_id, tenant)
    if member.invited:
        raise NotStaff
    if not member.active:
        raise SwitchedOff
    return member


async def staff_of(identity: Identity, tenant: str) -> Sequence[StaffMember]:
    """All members and invited persons of the shop, inactive ones too, by the read model.

    Accounts whose role no longer exists are no members.
    """
    found, _ = await members(identity, workspace_of_shop(tenant), invited=True, limit=MOST)
    return [_staff_member(identity, one, tenant) for one in found if parse_shop_role(one.role)]


async def by_number(identity: Identity, number: int, tenant: str) -> StaffMember:
    """The member or invited person with this number in the shop, loaded from the log.

    Raises NotStaff, Unavailable.
    """
    try:
        account_id = await find_member(identity, number, workspace_of_shop(tenant))
    except AccountUnknown:
        raise NotStaff from None
    return await member_of(identity, account_id, tenant)


def _staff_member(identity: Identity, member: Member, tenant: str) -> StaffMember:
    shop_role = parse_shop_role(member.role)
    if shop_role is None:
        raise NotStaff
    if member.invitation is None:
        phone, card = member.person.phone, card_of(member.person, tenant)
    else:
        sealed = member.invitation.sealed
        invitation = open_invitation(identity, member.account_id, tenant, sealed)
        phone, card = invitation.phone, invitation.card
    return StaffMember(
        account_id=member.account_id,
        number=member.number,
        phone=phone,
        card=card,
        shop_role=shop_role,
        active=shop_role.active and member.active,
        invited=member.invitation is not None,
        opened_at=member.opened_at,
        changed_at=member.changed_at,
    )


async def remember_telegram(
    identity: Identity, loaded: Loaded, tenant: str, telegram_id: int
) -> None:
    """Store the Telegram account that proved the phone, on the account and the shop's card.

    Codes are sent to it from now on. If it belongs to another account, only the card gets it.
    Raises Unavailable.
    """
    account_id = loaded.account_id
    free = await is_available(identity, telegram_id, account_id)

    def with_telegram(person: Person) -> Person:
        card = replace(card_of(person, tenant), telegram_id=telegram_id)
        account_telegram = telegram_id if free else person.telegram_id
        return with_card(replace(person, telegram_id=account_telegram), tenant, card)

    before = person_of(identity, account_id, loaded.account)
    if with_telegram(before) != before:
        await update_person(identity, account_id, with_telegram, actor=str(account_id))


async def is_available(
    identity: Identity, telegram_id: int, account_id: AccountId | None = None
) -> bool:
    """Whether no account, or this one, has the Telegram account."""
    return await find(identity, people.telegram(telegram_id)) in (None, account_id)


def seal_invitation(
    identity: Identity, account_id: AccountId, tenant: str, invitation: Invitation
) -> str:
    """An invitation, sealed for events and read models."""
    content = msgspec.json.encode(invitation).decode()
    return identity.seal.seal(content, _context(account_id, tenant))


def open_invitation(
    identity: Identity, account_id: AccountId, tenant: str, sealed: str
) -> Invitation:
    """An invitation unsealed. Raises SealBroken if it was sealed for another account or shop."""
    content = identity.seal.open(sealed, _context(account_id, tenant))
    return msgspec.json.decode(content, type=Invitation)


def _context(account_id: AccountId, tenant: str) -> str:
    return f"invitation {account_id} {tenant}"
