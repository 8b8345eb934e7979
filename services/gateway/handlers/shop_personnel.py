"""What happens when somebody is taken on in a shop, changed, or switched off.

A shop decides on its own card of somebody and on their role there, and on nothing else of them: not
on their phone, on the Telegram account that codes go to, or on where else they work.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from contracts.gateway import AccountId
from libs.errors import Forbidden, Refused
from libs.eventsourcing.store import new_event_id
from services.gateway.adapters.numbers import next_number
from services.gateway.domain import person as people
from services.gateway.domain.account import Account
from services.gateway.domain.account_commands import GrantRole, OpenAccount
from services.gateway.domain.person import Person, addresses_of
from services.gateway.domain.realm import Role
from services.gateway.domain.shop import Card, card_of, place_of, with_card
from services.gateway.domain.shop_standing import ADMIN, Standing, allowed_after, within
from services.gateway.handlers.address import AddressTaken, claims, find
from services.gateway.handlers.identity import Identity, load, seal_person
from services.gateway.handlers.planned import Plan, decided
from services.gateway.handlers.session import revoke_all
from services.gateway.handlers.shop_card import revise
from services.gateway.handlers.shop_staff import (
    Member,
    listed,
    member_of,
    other_admins,
    staff_of,
)
from services.gateway.read_models import account as accounts

LOOK_SECONDS: Final = 0.05
LISTED_SECONDS: Final = 1.0


class PhoneTaken(Refused):
    """Somebody of this shop has this phone."""


class EmailTaken(Refused):
    """Somebody of this shop has this e-mail address."""


class IsAdmin(Refused):
    """An admin of a shop may do everything, and is not switched off."""


class LastAdmin(Refused):
    """A shop must have an admin: it is the last one."""


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
    """Let somebody work in the shop. Whoever is known by the phone (E.164) gets a role beside what
    they are elsewhere; whoever is not can log in by it from now on.

    Raises PhoneTaken, EmailTaken, BeyondOwn, Unavailable.
    """
    _may(boss, standing)
    await _email_is_free(identity, boss.tenant, card.email, None)
    account_id = await find(identity, people.phone(phone))
    if account_id is None:
        account_id = await _open(identity, boss, phone, card, standing)
    else:
        await _employ(identity, boss, account_id, card, standing)
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
    await change_standing(identity, boss, member, standing)
    await _say(identity, boss, member.account_id, card)
    return await _listed(identity, member.account_id, boss.tenant)


async def change_standing(
    identity: Identity, boss: Boss, member: Member, change: Callable[[Standing], Standing]
) -> Member:
    """Let somebody be something else; their sessions in the shop end. `change` may run again.

    Raises OwnStanding, BeyondOwn, LastAdmin, NotStaff, Unavailable, and what `change` raises.
    """
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


async def _open(
    identity: Identity, boss: Boss, phone: str, card: Card, standing: Standing
) -> AccountId:
    account_id = AccountId(new_event_id())
    person = with_card(Person(phone=phone, name=card.name), boss.tenant, card)

    async def plan(_: Account) -> Plan:
        now = identity.clock()
        command = OpenAccount(
            account_id=account_id,
            number=await next_number(identity.pool),
            person=seal_person(identity.seal, account_id, person),
            password=None,
            roles=(Role(place_of(boss.tenant), standing.name),),
            now=now,
        )
        return command, await claims(identity, account_id, addresses_of(person), now)

    try:
        await decided(identity, account_id, plan, actor=str(boss.account_id))
    except AddressTaken:
        raise PhoneTaken from None
    return account_id


async def _employ(
    identity: Identity, boss: Boss, account_id: AccountId, card: Card, standing: Standing
) -> None:
    place = place_of(boss.tenant)
    if place in (await load(identity, account_id)).account.roles:
        raise PhoneTaken
    # First what is nobody's to see without the role.
    await _say(identity, boss, account_id, lambda _: card)
    await _grant(identity, boss, account_id, standing, new=True)


async def _say(
    identity: Identity, boss: Boss, account_id: AccountId, change: Callable[[Card], Card]
) -> None:
    def said(person: Person) -> Person:
        return with_card(person, boss.tenant, change(card_of(person, boss.tenant)))

    await revise(identity, account_id, said, actor=str(boss.account_id))


async def _grant(
    identity: Identity, boss: Boss, account_id: AccountId, standing: Standing, *, new: bool = False
) -> None:
    role = Role(place_of(boss.tenant), standing.name)

    async def plan(account: Account) -> Plan:
        if new and role.place in account.roles:
            raise PhoneTaken
        now = identity.clock()
        return GrantRole(account_id=account_id, role=role, others={}, now=now), ()

    await decided(identity, account_id, plan, actor=str(boss.account_id))


async def _listed(identity: Identity, account_id: AccountId, tenant: str) -> Member:
    """Them as they are now; once the lists show it, or after a moment, for clients ask next."""
    place = place_of(tenant)
    account = (await load(identity, account_id)).account
    now = account.person, account.roles.get(place)
    with suppress(TimeoutError):
        async with asyncio.timeout(LISTED_SECONDS):
            while True:
                row = await accounts.by_id(identity.pool, account_id)
                if row and (row.sealed, row.role_in(place)) == now:
                    return listed(identity, row, tenant) or await member_of(
                        identity, account_id, tenant
                    )
                await asyncio.sleep(LOOK_SECONDS)
    return await member_of(identity, account_id, tenant)
