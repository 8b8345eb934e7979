"""What happens when a shop invites somebody, changes what they are there, or switches them off.

A shop decides on its own card of somebody and on their role there, and on nothing else of them: not
on their phone, on the Telegram account that codes go to, on where else they work, nor whether they
accept.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from contracts.gateway import AccountId
from libs.errors import Forbidden, Refused
from libs.eventsourcing.store import new_event_id
from services.gateway.accounts.domain import person as people
from services.gateway.accounts.domain.account import Account, ActsThere, Offer, OfferUnknown
from services.gateway.accounts.domain.commands import GrantRole, OpenAccount
from services.gateway.accounts.domain.person import Person, addresses_of
from services.gateway.accounts.domain.realm import Place, Role
from services.gateway.accounts.domain.shop import place_of
from services.gateway.accounts.domain.shop_role import ADMIN, Standing, allowed_after, within
from services.gateway.accounts.handlers.address import AddressTaken, claims, find
from services.gateway.accounts.handlers.identity import Identity, load, seal_person
from services.gateway.accounts.handlers.planned import Plan, decided
from services.gateway.accounts.read_models import account as accounts
from services.gateway.accounts.read_models.account import AccountRow
from services.gateway.accounts.stores.numbers import next_number
from services.gateway.realms.shop.domain import Card, Invitation, card_of, with_card
from services.gateway.realms.shop.handlers.card import revise
from services.gateway.realms.shop.handlers.membership import change_invitation, invite
from services.gateway.realms.shop.handlers.staff import (
    LastAdmin,
    Member,
    NotStaff,
    listed,
    member_of,
    other_admins,
    staff_of,
)
from services.gateway.sessions.handlers.session import revoke_all

LOOK_SECONDS: Final = 0.05
LISTED_SECONDS: Final = 1.0


class PhoneTaken(Refused):
    """Somebody of this shop has this phone."""


class EmailTaken(Refused):
    """Somebody of this shop has this e-mail address."""


class IsAdmin(Refused):
    """An admin of a shop may do everything, and is not switched off."""


class OwnStanding(Forbidden):
    """Nobody decides what they themselves may do."""


class BeyondOwn(Forbidden):
    """Nobody decides on what they may not do themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Boss:
    """Who decides, in which shop, and the permissions they have there."""

    account_id: AccountId
    tenant: str
    keys: frozenset[str]


async def take_on(
    identity: Identity, boss: Boss, phone: str, card: Card, standing: Standing
) -> Member:
    """Invite whoever has the phone (E.164) to work in the shop, as `standing` once they accept.

    Whether anybody has it, and what they are elsewhere, the answer does not say. Raises PhoneTaken,
    EmailTaken, BeyondOwn, OfferedTooOften, Unavailable.
    """
    _may(boss, standing)
    await _email_is_free(identity, boss.tenant, card.email, None)
    account_id = await find(identity, people.phone(phone)) or await _open(identity, boss, phone)
    invitation, actor = Invitation(phone=phone, card=card), str(boss.account_id)
    try:
        await invite(identity, account_id, boss.tenant, invitation, standing, actor=actor)
    except ActsThere:
        raise PhoneTaken from None
    return await _listed(identity, account_id, boss.tenant)


async def change(
    identity: Identity,
    boss: Boss,
    member: Member,
    *,
    standing: Callable[[Standing], Standing],
    card: Callable[[Card], Card],
) -> Member:
    """Let somebody be something else, or be called so. Raises EmailTaken, and as
    `change_standing`; then nothing was changed."""
    email = card(member.card).email
    if email != member.card.email:
        await _email_is_free(identity, boss.tenant, email, member.account_id)
    if boss.account_id != member.account_id:
        _may(boss, member.standing)
    if member.invited:
        return await _reinvite(identity, boss, member, standing, card)
    await change_standing(identity, boss, member, standing)
    await _say(identity, boss, member.account_id, card)
    return await _listed(identity, member.account_id, boss.tenant)


async def change_standing(
    identity: Identity, boss: Boss, member: Member, change: Callable[[Standing], Standing]
) -> Member:
    """Let somebody be something else; their sessions in the shop end. `change` may run again.

    Raises OwnStanding, BeyondOwn, LastAdmin, NotStaff, Unavailable, and what `change` raises.
    """
    if member.invited:
        return await _reinvite(identity, boss, member, change, lambda card: card)
    tenant, place = boss.tenant, place_of(boss.tenant)
    async with identity.turns.turn(f"staff of {tenant}"):
        before = (await member_of(identity, member.account_id, tenant)).standing
        after = change(before)
        if after.name == before.name:
            return await _listed(identity, member.account_id, tenant)
        if boss.account_id == member.account_id:
            raise OwnStanding
        _may(boss, before)
        _may(boss, after)
        if before.name == ADMIN and not await other_admins(identity, member.account_id, tenant):
            raise LastAdmin
        await _grant(identity, boss, member.account_id, after)
    actor = str(boss.account_id)
    await revoke_all(identity, member.account_id, reason="revoked", actor=actor, place=place)
    return await _listed(identity, member.account_id, tenant)


async def allow(identity: Identity, boss: Boss, member: Member, said: Mapping[str, bool]) -> Member:
    """Give somebody permissions, or take them. Raises IsAdmin, PermissionUnknown, and as
    `change_standing`."""

    def allowed(standing: Standing) -> Standing:
        if standing.role == ADMIN:
            raise IsAdmin
        return allowed_after(standing, said)

    return await change_standing(identity, boss, member, allowed)


async def switch_off(identity: Identity, boss: Boss, member: Member) -> Member:
    """Let somebody do nothing in the shop. Raises IsAdmin, and as `change_standing`."""

    def off(standing: Standing) -> Standing:
        if standing.role == ADMIN:
            raise IsAdmin
        return replace(standing, active=False)

    return await change_standing(identity, boss, member, off)


def _may(boss: Boss, standing: Standing) -> None:
    if not within(standing, boss.keys):
        raise BeyondOwn


async def _email_is_free(
    identity: Identity, tenant: str, email: str | None, but: AccountId | None
) -> None:
    """Behind the log by moments: nobody logs in by it, so that of two at once both may have it."""
    if email is None:
        return
    for member in await staff_of(identity, tenant):
        if member.account_id != but and (member.card.email or "").lower() == email.lower():
            raise EmailTaken


async def _open(identity: Identity, boss: Boss, phone: str) -> AccountId:
    """An account for a phone that nobody has: of nothing but the phone, and without a role."""
    account_id, person = AccountId(new_event_id()), Person(phone=phone)

    async def plan(_: Account) -> Plan:
        now = identity.clock()
        command = OpenAccount(
            account_id=account_id,
            number=await next_number(identity.pool),
            person=seal_person(identity.seal, account_id, person),
            password=None,
            roles=(),
            now=now,
        )
        return command, await claims(identity, account_id, addresses_of(person), now)

    try:
        await decided(identity, account_id, plan, actor=str(boss.account_id))
    except AddressTaken as taken:
        # Another shop was faster.
        return taken.account_id
    return account_id


async def _reinvite(
    identity: Identity,
    boss: Boss,
    member: Member,
    standing: Callable[[Standing], Standing],
    card: Callable[[Card], Card],
) -> Member:
    """Change an invitation that waits for an answer. Raises NotStaff if it was just answered."""
    after = standing(member.standing)
    _may(boss, member.standing)
    _may(boss, after)
    invitation = Invitation(phone=member.phone or "", card=card(member.card))
    account_id, actor = member.account_id, str(boss.account_id)
    try:
        await change_invitation(identity, account_id, boss.tenant, invitation, after, actor=actor)
    except OfferUnknown:
        raise NotStaff from None
    return await _listed(identity, account_id, boss.tenant)


async def _say(
    identity: Identity, boss: Boss, account_id: AccountId, change: Callable[[Card], Card]
) -> None:
    def said(person: Person) -> Person:
        return with_card(person, boss.tenant, change(card_of(person, boss.tenant)))

    await revise(identity, account_id, said, actor=str(boss.account_id))


async def _grant(identity: Identity, boss: Boss, account_id: AccountId, standing: Standing) -> None:
    role = Role(place_of(boss.tenant), standing.name)

    async def plan(account: Account) -> Plan:
        if role.place not in account.roles:
            # They left, or have not accepted: then it is not the shop's to say.
            raise NotStaff
        now = identity.clock()
        return GrantRole(account_id=account_id, role=role, others={}, now=now), ()

    await decided(identity, account_id, plan, actor=str(boss.account_id))


async def _listed(identity: Identity, account_id: AccountId, tenant: str) -> Member:
    """Them as they are now; once the lists show it, or after a moment, for clients ask next."""
    place = place_of(tenant)
    account = (await load(identity, account_id)).account
    now = account.person, account.roles.get(place), account.offers.get(place)
    with suppress(TimeoutError):
        async with asyncio.timeout(LISTED_SECONDS):
            while True:
                row = await accounts.by_id(identity.pool, account_id)
                if row and _as_listed(row, place) == now:
                    return listed(identity, row, tenant) or await member_of(
                        identity, account_id, tenant
                    )
                await asyncio.sleep(LOOK_SECONDS)
    return await member_of(identity, account_id, tenant)


def _as_listed(row: AccountRow, place: Place) -> tuple[str, str | None, Offer | None]:
    return row.sealed, row.role_in(place), row.offer_in(place, pending=True)
