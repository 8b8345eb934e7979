"""A person is forgotten: no text about them can be read any more, wherever it was stored."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from contracts.shop import CustomerForgotten
from libs.errors import Unavailable
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import envelope
from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.reaction import feed_of
from libs.projections.consistency import Consistency
from libs.security.vault import Vault
from libs.testing.read_models import Projector, apply, clear, rows_of
from services.shop.__main__ import app
from services.shop.customers.reactions import forgotten_customers
from services.shop.orders.handlers.sealing import subject_of
from services.shop.production.handlers.order import follow
from tests.libs.files.pictures import encoded, in_chunks
from tests.services.shop.kit import SEAL_KEY, TENANT, ShopKit
from tests.services.shop.orders.florist import PHONE, Florist

OTHER_PHONE = "+77015556677"
TEXTS = {
    *("Анна", "anna@example.kz", "пионы", "Сатпаева", "годовщина", "2223344", "5556677"),
    *("Белла", "7778899", "Достык", "поздравляю", "под дверью", "вечером", "отказался"),
}
"""Parts of what `add_customer` stores of persons and read models hold in the clear."""


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


async def add_customer(shop: ShopKit, florist: Florist) -> tuple[int, list[int]]:
    """A customer, merged with another, and the orders of both: one is new, one has an issue."""
    post = florist.client.post
    record = {
        "phone": PHONE,
        "name": "Анна",
        "email": "anna@example.kz",
        "notes": "любит пионы",
        "addresses": ["Сатпаева 9"],
        "important_dates": [{"date": "03-08", "description": "годовщина"}],
    }
    kept = (await post("/api/customers/", json=record)).json()["id"]
    other = await registered(florist, OTHER_PHONE)
    product = await florist.product()
    sent = {
        "customer_phone": OTHER_PHONE,
        "delivery_method": "delivery",
        "items": [{"product_id": product, "quantity": 1}],
        "recipient_name": "Белла",
        "recipient_phone": "+77017778899",
        "address": "Достык 1",
        "card_text": "поздравляю",
        "delivery_time_text": "вечером",
        "shop_id": 7,
    }
    first = (await post("/api/public/orders", json=sent)).json()
    comments = f"/api/public/orders/{first['tracking_token']}/comments"
    await post(comments, json={"text": "оставьте под дверью", "customer_name": "Анна"})
    second = (await florist.placed((product, 1)))["id"]
    merge = {"keep_customer_id": kept, "merge_customer_id": other}
    assert (await post("/api/customers/merge", json=merge)).status_code == 201

    await florist.move(second, "paid")
    await follow(shop.deps, second, Metadata(tenant=TENANT))
    await shop.caught_up()
    (task,) = (await florist.client.get("/api/production/tasks/")).json()["items"]
    notes = {"instructions": "Анна просила белые"}
    await florist.client.put(f"/api/production/tasks/{task['id']}", json=notes)
    issue = {"issue_type": "other", "comment": "отказался"}
    await florist.client.patch(f"/api/orders/{second}/issue", json=issue)
    return kept, [first["id"], second]


async def registered(florist: Florist, phone: str = PHONE) -> int:
    answer = await florist.client.post("/api/customers/", json={"phone": phone})
    return int(answer.json()["id"])


async def forget(florist: Florist, customer_id: int) -> int:
    return (await florist.client.delete(f"/api/customers/{customer_id}")).status_code


async def instructions(florist: Florist) -> str | None:
    """Of the only task, which are opened by queries."""
    (task,) = (await florist.client.get("/api/production/tasks/")).json()["items"]
    text: str | None = task["instructions"]
    return text


async def remaining(shop: ShopKit) -> set[str]:
    """The texts that can be read in a table of the service."""
    await shop.caught_up()
    tables = await shop.deps.system.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    )
    rows = [await shop.deps.system.fetch(f"SELECT t::text FROM {name} AS t") for (name,) in tables]
    dump = str(rows)
    return {text for text in TEXTS if text in dump}


async def test_after_a_person_is_forgotten_no_text_is_left(shop: ShopKit, florist: Florist) -> None:
    customer_id, (first, second) = await add_customer(shop, florist)
    person, before = subject_of(TENANT, second), await remaining(shop)
    key = await shop.deps.vault.key_for(person)
    photo = await shop.deps.files.add_image(
        TENANT, "a.jpg", in_chunks(encoded("jpg")), seal=(person.id, key)
    )
    await florist.move(first, "paid", "assembled", "delivery", "delivered")

    noted = await instructions(florist)

    assert await forget(florist, customer_id) == 204

    assert before == TEXTS
    assert await remaining(shop) == set()
    assert await shop.fetch_value("SELECT count(*) FROM timer WHERE not_before IS NOT NULL") == 0
    assert (await florist.client.get(f"/uploads/{photo.name}")).status_code == 404
    assert (await florist.client.get(f"/api/customers/{customer_id}")).status_code == 404
    listed = (await florist.client.get("/api/orders/")).json()
    assert [(one["id"], one["customer_phone"]) for one in listed["items"]] == [
        (second, ""),
        (first, ""),
    ]
    assert (await florist.detail(first))["customer"] is None
    assert (noted, await instructions(florist)) == ("Анна просила белые", None)
    for phone in (PHONE, OTHER_PHONE):
        new = await florist.client.post("/api/customers/", json={"phone": phone})
        assert (new.status_code, new.json()["orders_count"]) == (201, 0)


async def test_a_replay_of_the_log_leaves_the_same_rows_without_a_text(
    shop: ShopKit, florist: Florist
) -> None:
    customer_id, (first, _) = await add_customer(shop, florist)
    await florist.client.post(f"/api/orders/{first}/cancel", json={"cancellation_reason": ""})
    assert await forget(florist, customer_id) == 204
    projections = shop.projector.projections
    tables = [name for one in projections for name in one.tables]
    pool, store = shop.deps.system, shop.deps.store
    volatile = ("id", "stored_at")
    expected = await rows_of(pool, tables, except_columns=volatile)

    await clear(pool, tables)
    await Projector(store, pool, "shop", projections).catch_up()
    assert await rows_of(pool, tables, except_columns=volatile) == expected
    assert await remaining(shop) == set()

    # As of the moment before the person was forgotten.
    await clear(pool, tables)
    async for page in store.log.read_all():
        events = [envelope(one, store.decode(one)) for one in page]
        past = [one for one in events if not isinstance(one.event, CustomerForgotten)]
        await apply(pool, "shop", projections, past)
    assert await remaining(shop) == set()


async def test_a_customer_with_an_open_order_is_not_forgotten(
    shop: ShopKit, florist: Florist
) -> None:
    customer_id, (first, _) = await add_customer(shop, florist)

    refused = await florist.client.delete(f"/api/customers/{customer_id}")

    assert refused.status_code == 409
    assert str(first) in refused.json()["detail"]
    assert await remaining(shop) == TEXTS
    assert await shop.events(CustomerForgotten) == []


@pytest.mark.parametrize("by_reaction", [False, True])
async def test_what_a_crash_interrupted_is_completed(
    shop: ShopKit, florist: Florist, monkeypatch: pytest.MonkeyPatch, by_reaction: bool
) -> None:
    customer_id, (first, _) = await add_customer(shop, florist)
    await florist.client.post(f"/api/orders/{first}/cancel", json={"cancellation_reason": ""})

    async def die(*_: object, **__: object) -> Any:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(Vault, "forget_all", die)
        assert await forget(florist, customer_id) == 503
    assert await remaining(shop) == TEXTS
    if by_reaction:
        reaction = forgotten_customers(shop.deps)
        feed = feed_of(reaction)
        await Projector(shop.deps.store, shop.deps.system, "shop", [feed]).catch_up()
        assert await InboxWorker(shop.deps.system, reaction).react()
    else:
        assert await forget(florist, customer_id) == 204

    assert await remaining(shop) == set()
    assert await forget(florist, customer_id) == 204
    assert len(await shop.events(CustomerForgotten)) == 1


async def test_an_order_that_was_placed_meanwhile_is_forgotten_by_a_repetition(
    shop: ShopKit, florist: Florist, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer_id = await registered(florist)
    product = await florist.product()

    async def ensure(*_: object, **__: object) -> int:
        assert await forget(florist, customer_id) == 204
        return customer_id

    with monkeypatch.context() as patched:
        patched.setattr("services.shop.customers.handlers.ensure", ensure)
        order = await florist.placed((product, 1), delivery_method="self_pickup", address=None)
    assert await forget(florist, customer_id) == 409
    await florist.client.post(f"/api/orders/{order['id']}/cancel", json={"cancellation_reason": ""})
    assert await forget(florist, customer_id) == 204

    assert await remaining(shop) == set()
    assert [one.orders for one in await shop.events(CustomerForgotten)] == [(), (order["id"],)]


async def test_unknown_foreign_and_merged_customers_are_not_forgotten(
    shop: ShopKit, florist: Florist
) -> None:
    customer_id, _ = await add_customer(shop, florist)
    merged = customer_id + 1
    async with shop.staff(number=8) as other, shop.staff("orders") as without:
        path = f"/api/customers/{customer_id}"
        answers = [await other.delete(path), await without.delete(path)]

    assert [one.status_code for one in answers] == [404, 403]
    assert [await forget(florist, one) for one in (merged, 999)] == [404, 404]
    assert await shop.events(CustomerForgotten) == []


async def test_the_command_forgets_a_person_and_prints_the_receipts(
    shop: ShopKit, florist: Florist, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer_id = await registered(florist)
    variables = {
        "SHOP_DATABASE_URL": database,
        "SHOP_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SHOP_JWKS_URL": "http://127.0.0.1:1/jwks.json",
        "SHOP_SEAL_KEYS": SEAL_KEY,
        "SHOP_FILES_URL": "memory:///",
    }

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=variables)

    async def caught_up(*_: object) -> bool:
        return True

    # The kit has no worker: it has projected all events of the customer before.
    monkeypatch.setattr(Consistency, "caught_up", caught_up)
    done = await asyncio.to_thread(run, "forget", "7", str(customer_id))
    unknown = await asyncio.to_thread(run, "forget", "8", str(customer_id))

    assert (done.exit_code, unknown.exit_code) == (0, 1), done.output
    assert json.loads(done.stdout)["subject"] == f"customer-{customer_id}"
    assert await remaining(shop) == set()
