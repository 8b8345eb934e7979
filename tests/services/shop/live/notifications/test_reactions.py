"""Managers are notified of storefront orders and of important dates, each once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.shop import NotificationRequested, OrderPlaced
from libs.eventsourcing.log import Metadata
from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.reaction import feed_of
from libs.testing.clock import Clock
from libs.testing.polling import eventually
from libs.testing.read_models import Projector
from services.shop.live.notifications import handlers
from services.shop.live.notifications.reactions import order_notifications, reminding
from services.shop.orders.domain.contact import Contact
from services.shop.orders.domain.status import Method
from services.shop.orders.handlers.order import NewOrder, create
from tests.libs.jobs.working import running
from tests.services.shop.kit import TENANT, ShopKit
from tests.services.shop.orders.florist import PHONE, Florist


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


async def requested(shop: ShopKit) -> list[Any]:
    return await shop.events(NotificationRequested)


async def react_twice(shop: ShopKit) -> None:
    """React to all orders, and again as after a lost acknowledgement."""
    context, reaction = shop.deps, order_notifications(shop.deps)
    for _ in range(2):
        await Projector(context.store, context.system, "shop", [feed_of(reaction)]).catch_up()
        while await InboxWorker(context.system, reaction).react():
            pass
        await shop.execute("DELETE FROM inbox")


async def test_an_order_of_the_storefront_is_announced_once(
    shop: ShopKit, florist: Florist
) -> None:
    context = shop.deps
    product = await florist.product()
    await florist.placed((product, 1))
    new = NewOrder(
        contact=Contact(customer_phone=PHONE),
        method=Method.SELF_PICKUP,
        items=[(product, 1)],
        source="storefront",
    )
    order_id = await create(context, new, Metadata(tenant=TENANT))
    await react_twice(shop)

    (notification,) = await requested(shop)
    assert (notification.kind, notification.order_id) == ("storefront_order", order_id)
    assert notification.roles == ("admin", "manager")
    assert "15000" in notification.text
    assert PHONE not in notification.text


async def test_each_change_of_an_address_by_the_link_is_announced_once(
    shop: ShopKit, florist: Florist
) -> None:
    """S9."""
    order = await florist.placed((await florist.product(), 1))
    async with shop.anonymous() as customer:
        for address in ("Достык 5, кв. 7", "Достык 5, кв. 7", "Сатпаева 1"):
            path = f"/api/public/orders/{order['tracking_token']}/address"
            answer = await customer.patch(path, json={"address": address})
            assert answer.status_code == 200, answer.text
    [number] = [one.number for one in await shop.events(OrderPlaced)]

    await react_twice(shop)

    changes = await requested(shop)
    assert [one.kind for one in changes] == ["address_changed"] * 2
    assert {one.text for one in changes} == {
        f"Клиент изменил адрес или получателя заказа № {number}"
    }
    assert {(one.order_id, one.roles) for one in changes} == {(order["id"], ("admin", "manager"))}


async def add_date(florist: Florist, day: datetime, days: int = 3) -> int:
    """Register a customer with a date; the customer's id."""
    body = {
        "phone": PHONE,
        "name": "Мария",
        "important_dates": [
            {"date": f"{day:%m-%d}", "description": "мама", "remind_days_before": days}
        ],
    }
    answer = await florist.client.post("/api/customers/", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def due_at(shop: ShopKit) -> datetime | None:
    await shop.caught_up()
    due: datetime | None = await shop.fetch_value(
        "SELECT due_at FROM timer WHERE not_before IS NOT NULL"
    )
    return due


async def test_a_date_is_reminded_of_once_and_again_next_year(
    shop: ShopKit, florist: Florist
) -> None:
    today = datetime.now(shop.settings.zone)
    day = today + timedelta(days=40)
    customer_id = await add_date(florist, day)
    first = await due_at(shop)
    assert first is not None
    assert first.astimezone(shop.settings.zone).date() == (day - timedelta(days=3)).date()

    clock = Clock(first)
    context = replace(shop.deps, clock=clock)
    async with running(reminding(context)):
        await eventually(lambda: requested(shop))
        await eventually(lambda: reminded_year(shop, florist, customer_id))

    (notification,) = await requested(shop)
    assert (notification.kind, notification.customer_id) == ("important_date", customer_id)
    assert "Мария" not in notification.text
    assert "мама" not in notification.text
    assert await reminded_year(shop, florist, customer_id) == day.year
    following = await due_at(shop)
    assert following is not None
    assert following.year == first.year + 1


async def reminded_year(shop: ShopKit, florist: Florist, customer_id: int) -> int | None:
    await shop.caught_up()
    customer = (await florist.client.get(f"/api/customers/{customer_id}")).json()
    year: int | None = customer["important_dates"][0]["last_reminded_year"]
    return year


async def test_a_reminder_that_is_repeated_is_requested_once_and_sets_the_next_timer(
    shop: ShopKit, florist: Florist
) -> None:
    now = datetime.now(UTC)
    customer_id = await add_date(florist, now.astimezone(shop.settings.zone), days=1)
    before = await due_at(shop)
    metadata = Metadata(tenant=TENANT)

    for _ in range(2):
        await handlers.remind(shop.deps, customer_id, now, metadata)

    (notification,) = await requested(shop)
    after = await due_at(shop)
    assert before is not None
    assert after is not None
    assert before <= now < after
    assert notification.notification.endswith(str(now.astimezone(shop.settings.zone).year))


async def test_a_customer_without_dates_or_merged_into_another_has_no_timer(
    shop: ShopKit, florist: Florist
) -> None:
    day = datetime.now(UTC) + timedelta(days=40)
    customer_id = await add_date(florist, day)
    assert await due_at(shop) is not None
    await florist.client.put(f"/api/customers/{customer_id}", json={"important_dates": []})
    assert await due_at(shop) is None

    date = {"date": f"{day:%m-%d}", "description": "мама"}
    await florist.client.post(f"/api/customers/{customer_id}/important-dates", json=date)
    other = await florist.client.post("/api/customers/", json={"phone": "+77013334455"})
    merge = {"keep_customer_id": other.json()["id"], "merge_customer_id": customer_id}
    assert (await florist.client.post("/api/customers/merge", json=merge)).status_code == 201
    await shop.caught_up()

    keys = await shop.fetch_value("SELECT array_agg(key) FROM timer WHERE not_before IS NOT NULL")
    assert keys == [str(other.json()["id"])]
    await handlers.remind(shop.deps, customer_id, day, Metadata(tenant=TENANT))
    assert await requested(shop) == []
