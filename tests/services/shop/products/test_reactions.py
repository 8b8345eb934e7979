"""A shop registered at the gateway begins with a name and three products (spec shop §2.2)."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts import gateway
from contracts.envelope import Envelope
from contracts.gateway import AccountId, GatewayEvent, ShopRegistered
from contracts.shop import CompanyChanged, ProductAdded
from libs.errors import Unavailable
from libs.eventsourcing.codec import codec_of
from libs.eventsourcing.log import Metadata, RecordedEvent
from libs.messaging.inbox_feed import InboxFeed
from libs.messaging.inbox_worker import InboxWorker
from services.shop.context import tenant_of
from services.shop.products import handlers, reactions
from tests.libs.messaging.wires import StoredRecord, encode_headers
from tests.services.shop.kit import ShopKit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def registered(number: int = 7, name: str = "Цветы у дома") -> ShopRegistered:
    return ShopRegistered(
        number=number,
        tenant=tenant_of(number),
        account_id=AccountId(uuid4()),
        name=name,
        city="Алматы",
        registered_at=NOON,
    )


def record(event: ShopRegistered, position: int) -> StoredRecord:
    """The fact as the gateway's relay publishes it: of the platform's tenant."""
    name, version, data = codec_of(gateway.EVENTS).encode(event)
    recorded = RecordedEvent(
        event_id=UUID(int=position),
        type=name,
        schema_version=version,
        data=data,
        occurred_at=NOON,
        position=position,
        xid=position,
        stream=f"shop-{event.number}",
        version=None,
        metadata=Metadata(tenant="platform", actor=str(event.account_id), correlation_id="click"),
        recorded_at=NOON,
    )
    headers = encode_headers("gateway", recorded, position, position - 1)
    return StoredRecord("gateway.shop", 0, position - 1, recorded.stream.encode(), data, headers)


async def react(shop: ShopKit, event: ShopRegistered) -> None:
    """Handle the fact once."""
    envelope: Envelope[GatewayEvent] = Envelope(
        event_id=uuid4(),
        tenant="platform",
        stream=f"shop-{event.number}",
        version=None,
        occurred_at=NOON,
        recorded_at=NOON,
        correlation_id=None,
        causation_id=None,
        actor=None,
        traceparent=None,
        event=event,
    )
    reaction = reactions.registrations(shop.deps)
    assert reaction.react is not None
    await reaction.react(envelope)


async def names_of(shop: ShopKit, number: int = 7) -> list[str]:
    """The names of the products of a shop."""
    await shop.caught_up()
    async with shop.staff(number=number) as staff:
        return [one["name"] for one in (await staff.get("/api/products/")).json()["items"]]


async def test_a_new_shop_has_a_name_and_three_products(shop: ShopKit) -> None:
    pool, reaction = shop.deps.system, reactions.registrations(shop.deps)
    await InboxFeed(pool, reaction).store([record(registered(), 1), record(registered(8), 2)])
    worker = InboxWorker(pool, reaction)
    for _ in range(3):
        await worker.react()
    await shop.caught_up()

    async with shop.staff() as staff:
        products = (await staff.get("/api/products/")).json()["items"]
        company = (await staff.get("/api/settings/")).json()
    prices = [(one["retail_price"], one["sale_price"], one["cost_price"]) for one in products]
    assert prices == [(25_000, 22_000, 10_000), (18_000, 16_000, 8_000), (35_000, 32_000, 15_000)]
    assert [one["category"] for one in products] == ["bouquet", "bouquet", "composition"]
    assert [one["is_popular"] for one in products] == [True, False, True]
    assert [one["is_new"] for one in products] == [False, True, False]
    assert company["name"] == "Цветы у дома"
    assert len(await names_of(shop, 8)) == 3
    metadata = [one.metadata async for page in shop.deps.store.log.read_all() for one in page]
    assert {one.correlation_id for one in metadata} == {"click"}
    assert {one.tenant for one in metadata} == {"shop-7", "shop-8"}


async def test_a_shop_is_set_up_once_however_often_its_fact_arrives(shop: ShopKit) -> None:
    event = registered()

    await asyncio.gather(*(react(shop, event) for _ in range(5)))
    await react(shop, event)

    assert len(await shop.events(ProductAdded)) == 3
    assert len(await shop.events(CompanyChanged)) == 1


async def test_a_shop_that_was_set_up_half_is_completed(
    shop: ShopKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, added = handlers.add, list[str]()

    async def dying(*given: Any, **named: Any) -> Any:
        if len(added) == 2:
            raise Unavailable
        added.append("")
        return await add(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(handlers, "add", dying)
        with pytest.raises(Unavailable):
            await react(shop, registered())
    assert len(await names_of(shop)) == 2

    await react(shop, registered())
    assert len({*await names_of(shop)}) == len(await names_of(shop)) == 3


async def test_what_staff_did_meanwhile_stays(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        await staff.patch("/api/settings/", json={"name": "Розы"})
        await react(shop, registered())
        await shop.caught_up()
        number = (await staff.get("/api/products/")).json()["items"][0]["id"]
        await staff.delete(f"/api/products/{number}")
        await react(shop, registered())
        company = (await staff.get("/api/settings/")).json()

    assert company["name"] == "Розы"
    assert len(await names_of(shop)) == 2


def test_other_facts_of_the_gateway_are_ignored(shop: ShopKit) -> None:
    reaction = reactions.registrations(shop.deps)
    revoked = gateway.SessionRevoked(
        session_id=gateway.SessionId(uuid4()),
        account_id=AccountId(uuid4()),
        reason="logout",
        revoked_at=NOON,
    )

    assert reaction.schedule_of(revoked) is None
