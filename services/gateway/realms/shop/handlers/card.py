"""Changing a shop's card of a person, and their Telegram account."""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from contracts.gateway import AccountId
from services.gateway.accounts.domain import person as people
from services.gateway.accounts.domain.account import Account
from services.gateway.accounts.domain.commands import ChangePerson
from services.gateway.accounts.domain.person import Person, addresses_of, tidy
from services.gateway.accounts.handlers.address import claims, find, releases
from services.gateway.accounts.handlers.execution import Plan, execute_with_facts
from services.gateway.accounts.handlers.identity import Identity, Loaded, person_of, seal_person
from services.gateway.realms.shop.domain import Invitation, card_of, with_card


async def know_telegram(identity: Identity, loaded: Loaded, tenant: str, telegram_id: int) -> None:
    """Keep the Telegram account that proved the phone, if that is news. Raises Unavailable.

    Codes are sent there from now on; an account that is somebody else's is told to the shop only.
    """
    account_id = loaded.account_id
    free = await is_available(identity, telegram_id, account_id)

    def known(person: Person) -> Person:
        card = replace(card_of(person, tenant), telegram_id=telegram_id)
        theirs = telegram_id if free else person.telegram_id
        return with_card(replace(person, telegram_id=theirs), tenant, card)

    before = person_of(identity, account_id, loaded.account)
    if known(before) != before:
        await revise(identity, account_id, known, actor=str(account_id))


async def revise(
    identity: Identity, account_id: AccountId, change: Callable[[Person], Person], *, actor: str
) -> Account:
    """Say of somebody what `change` makes of them as they are then; it may run again.

    Raises AccountUnknown, AddressTaken, BadAddress, Unavailable.
    """

    async def plan(account: Account) -> Plan:
        old = person_of(identity, account_id, account)
        new, now = tidy(change(old)), identity.clock()
        if new == old:
            return None, ()
        before, after = addresses_of(old), addresses_of(new)
        claimed = await claims(identity, account_id, after - before, now)
        released = await releases(identity, account_id, before - after, now)
        sealed = seal_person(identity.seal, account_id, new)
        return ChangePerson(account_id=account_id, person=sealed, now=now), [*claimed, *released]

    return await execute_with_facts(identity, account_id, plan, actor=actor)


async def is_available(
    identity: Identity, telegram_id: int, account_id: AccountId | None = None
) -> bool:
    """Whether a Telegram account is free, or this account's already."""
    return await find(identity, people.telegram(telegram_id)) in (None, account_id)


def seal_invitation(
    identity: Identity, account_id: AccountId, tenant: str, invitation: Invitation
) -> str:
    """What a shop wrote of somebody it invites, as events and read models keep it."""
    said = msgspec.json.encode(invitation).decode()
    return identity.seal.seal(said, _context(account_id, tenant))


def open_invitation(
    identity: Identity, account_id: AccountId, tenant: str, sealed: str
) -> Invitation:
    """What was sealed for this account by this shop. Raises SealBroken."""
    said = identity.seal.open(sealed, _context(account_id, tenant))
    return msgspec.json.decode(said, type=Invitation)


def _context(account_id: AccountId, tenant: str) -> str:
    return f"invitation {account_id} {tenant}"
