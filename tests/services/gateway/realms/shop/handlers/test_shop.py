"""Registering a shop: one transaction, one shop for a phone, one person in several realms."""

import asyncio
from datetime import timedelta

import pytest

from contracts.gateway import ShopRegistered
from libs.security.tokens import KeyRing, SigningKey
from libs.testing.callers import KEY
from libs.testing.clock import Clock
from services.gateway.accounts.domain.commands import OpenAccount
from services.gateway.accounts.domain.realm import Role
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.accounts.handlers.identity import Identity, profile
from services.gateway.administration.handlers import account as accounts
from services.gateway.realms.shop.handlers.pending_registration import (
    LIFETIME,
    NotPending,
    pending_token,
    phone_of,
)
from services.gateway.realms.shop.handlers.shop import ShopExists, register_shop, shop_of
from services.gateway.sessions.handlers.session import NotAdmitted
from tests.services.gateway.identities import People

PHONE = "+77011234567"
SHOP = {"name": "Розы", "city": "Астана"}
KEYS = KeyRing(KEY)


async def register(identity: Identity, phone: str = PHONE) -> str:
    _, shop = await register_shop(identity, phone, **SHOP, telegram_id=7)
    return shop.tenant


async def registered(people: People) -> list[str]:
    """The tenants of all shops in the log."""
    events = [envelope.event for envelope in await people.history()]
    return [event.tenant for event in events if isinstance(event, ShopRegistered)]


@pytest.mark.parametrize("is_known", [False, True])
async def test_of_many_registrations_at_once_one_counts(people: People, *, is_known: bool) -> None:
    if is_known:
        await people.open(phone=PHONE)

    done = await asyncio.gather(
        *(register(people.identity) for _ in range(5)), return_exceptions=True
    )

    assert sorted(type(one).__name__ for one in done) == ["ShopExists"] * 4 + ["str"]
    assert await registered(people) == [one for one in done if isinstance(one, str)]


async def test_a_member_deactivated_in_another_shop_may_register_one(people: People) -> None:
    account_id, made = await register_shop(people.identity, PHONE, **SHOP, telegram_id=7)
    off = Role(workspace_of_shop(made.tenant), "manager off")
    await people.grant(await profile(people.identity, account_id), off)

    assert await register(people.identity) != made.tenant


async def test_a_deactivated_account_opens_no_shop(people: People) -> None:
    anna = await people.open(phone=PHONE)
    await people.deactivate(anna)

    with pytest.raises(NotAdmitted):
        await register(people.identity)
    assert await registered(people) == []


async def test_a_telegram_account_of_another_person_is_left_to_them(identity: Identity) -> None:
    first = await register(identity)
    second = await register(identity, "+77019999999")

    made = [await shop_of(identity, tenant) for tenant in (first, second)]
    owners = [(await profile(identity, shop.account_id)).person for shop in made if shop]
    assert [person.telegram_id for person in owners] == [7, None]


async def test_shop_and_account_are_registered_together_or_not_at_all(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> OpenAccount:
        raise ShopExists

    monkeypatch.setattr(accounts, "OpenAccount", broken)
    with pytest.raises(ShopExists):
        await register(people.identity)

    assert await people.history() == []


async def test_a_pending_token_proves_a_phone_for_an_hour(identity: Identity, clock: Clock) -> None:
    token = pending_token(identity, KEYS, PHONE, issuer="us")

    with pytest.raises(NotPending):
        phone_of(identity, KEYS, token, issuer="them")
    with pytest.raises(NotPending):
        phone_of(identity, KeyRing(SigningKey.generate()), token, issuer="us")
    assert phone_of(identity, KEYS, token, issuer="us") == PHONE
    clock.now += LIFETIME - timedelta(seconds=1)
    assert phone_of(identity, KEYS, token, issuer="us") == PHONE
    clock.advance(seconds=1)
    with pytest.raises(NotPending):
        phone_of(identity, KEYS, token, issuer="us")
