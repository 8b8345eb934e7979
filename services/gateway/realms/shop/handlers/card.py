"""A shop's cards of its members, invitations, and the members' Telegram accounts."""

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


async def update_person(
    identity: Identity, account_id: AccountId, change: Callable[[Person], Person], *, actor: str
) -> Account:
    """Change the personal data of an account; `change` may run again after a race.

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
