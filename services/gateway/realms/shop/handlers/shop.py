"""Registering a shop, and the shop of a tenant.

The fact of a registered shop is appended together with the role of its first admin. The id of the
fact derives from the tenant, so that a shop can be read at once after it was written.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID, uuid5

from contracts.gateway import AccountId, GatewayEvent, ShopRegistered
from libs.errors import NotFound, Refused
from libs.eventsourcing.store import Fact, new_event_id
from services.gateway.accounts.domain import person as people
from services.gateway.accounts.domain.account import Account
from services.gateway.accounts.domain.commands import GrantRole
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import Role
from services.gateway.accounts.domain.shop import tenant_of, workspace_of_shop
from services.gateway.accounts.domain.shop_role import ADMIN
from services.gateway.accounts.handlers.address import AddressTaken, find
from services.gateway.accounts.handlers.execution import Plan, execute_with_facts
from services.gateway.accounts.handlers.identity import ACCOUNT_NUMBERS, Identity
from services.gateway.administration.handlers.account import open_account
from services.gateway.realms.shop.domain import (
    FOUNDER,
    Card,
    shop_registered,
    with_card,
    workspaces_of_staff,
)
from services.gateway.realms.shop.handlers.staff import is_available
from services.gateway.sessions.handlers.session import NotAdmitted

SHOP_FACTS: Final = UUID("6d1f9c52-0e0b-5c0e-9d43-7a6b0c9f2f18")
"""The namespace of the ids of these facts. With another one no shop would be found."""


class ShopExists(Refused):
    """The owner of this phone has a shop already."""


class ShopUnknown(NotFound):
    """There is no such shop."""


async def shop_of(identity: Identity, tenant: str) -> ShopRegistered | None:
    """The shop of a tenant; None if it was not registered. Raises LogUnavailable."""
    fact_id = _fact_id(tenant)
    recorded = (await identity.store.log.find([fact_id])).get(fact_id)
    return shop_registered(identity.store.decode(recorded)) if recorded is not None else None


async def shops_of(identity: Identity, tenants: Collection[str]) -> Mapping[str, ShopRegistered]:
    """The shops among these tenants. Raises LogUnavailable."""
    recorded = await identity.store.log.find([_fact_id(tenant) for tenant in tenants])
    shops = [shop_registered(identity.store.decode(one)) for one in recorded.values()]
    return {shop.tenant: shop for shop in shops}


async def owned_shops(
    identity: Identity, account_id: AccountId, account: Account
) -> frozenset[str]:
    """The tenants of the shops that the account registered and works in. Raises LogUnavailable."""
    tenants = [workspace.tenant for workspace, _ in workspaces_of_staff(account.roles)]
    shops = await shops_of(identity, tenants) if tenants else {}
    return frozenset(one.tenant for one in shops.values() if one.account_id == account_id)


async def register_shop(
    identity: Identity, phone: str, *, name: str, city: str, telegram_id: int | None
) -> tuple[AccountId, ShopRegistered]:
    """Register a shop for a proved phone (E.164); its owner becomes the admin.

    `telegram_id` is the Telegram account that proved it. An existing account gets the role, else
    one is opened. Raises ShopExists, also for concurrent registrations; NotAdmitted, Unavailable.
    """
    known = await find(identity, people.phone(phone))
    account_id = known or AccountId(new_event_id())
    number = await ACCOUNT_NUMBERS.next(identity.pool)
    shop = ShopRegistered(
        number=number,
        tenant=tenant_of(number),
        account_id=account_id,
        name=name,
        city=city,
        registered_at=identity.clock(),
    )
    if known is None:
        await _open_account(identity, shop, phone, telegram_id)
    else:
        await _grant(identity, shop)
    return account_id, shop


async def _grant(identity: Identity, shop: ShopRegistered) -> None:
    async def plan(account: Account) -> Plan:
        if not account.active:
            raise NotAdmitted
        # An account that works in other shops may register one of its own.
        if await owned_shops(identity, shop.account_id, account):
            raise ShopExists
        now, role = shop.registered_at, _admin_of(shop)
        return GrantRole(account_id=shop.account_id, role=role, others={}, now=now), _fact(shop)

    await execute_with_facts(identity, shop.account_id, plan, actor=str(shop.account_id))


async def _open_account(
    identity: Identity, shop: ShopRegistered, phone: str, telegram_id: int | None
) -> None:
    # A Telegram account may belong to another account, for example by a former phone.
    free = telegram_id is not None and await is_available(identity, telegram_id)
    person = Person(phone=phone, telegram_id=telegram_id if free else None)
    try:
        await open_account(
            identity,
            with_card(person, shop.tenant, Card(name=FOUNDER, telegram_id=telegram_id)),
            password=None,
            roles=[_admin_of(shop)],
            actor=str(shop.account_id),
            account_id=shop.account_id,
            facts=_fact(shop),
        )
    except AddressTaken:
        raise ShopExists from None


def _admin_of(shop: ShopRegistered) -> Role:
    return Role(workspace_of_shop(shop.tenant), ADMIN)


def _fact(shop: ShopRegistered) -> Sequence[Fact[GatewayEvent]]:
    stream = f"shop-{shop.number}"
    return [
        Fact(
            event_id=_fact_id(shop.tenant),
            stream=stream,
            event=shop,
            occurred_at=shop.registered_at,
        )
    ]


def _fact_id(tenant: str) -> UUID:
    return uuid5(SHOP_FACTS, tenant)
