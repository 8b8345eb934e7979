"""Customers, as the admin's pages read and change them (spec shop §4.2, C1, C6, C12)."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from httpx import AsyncClient

from contracts.shop import CustomerRegistered
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.security.data_keys import Subject
from services.shop.context import await_writes
from services.shop.customers import api, handlers
from services.shop.orders.domain.decisions import ORDER
from services.shop.orders.handlers.sealing import seal_all
from tests.services.shop.kit import TENANT, ShopKit
from tests.services.shop.orders.orders import DETAILS, NOON, place

PHONE = "+77012223344"
FIELDS = {
    *("id", "phone", "name", "email", "notes", "preferences", "source", "orders_count"),
    *("total_spent", "last_order_date", "created_at", "updated_at", "addresses"),
    *("important_dates", "primary_address", "rfm_score"),
}


async def create(admin: AsyncClient, phone: str = PHONE, **fields: Any) -> Any:
    answer = await admin.post("/api/customers/", json={"phone": phone, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_customer_is_registered_with_addresses_and_dates(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        created = await create(
            admin,
            "8 701 222 33 44",
            name="Анна",
            addresses=["Абая 1", {"address": "Абая 2", "is_default": True}],
            important_dates=[{"date": "03-08", "description": "мама"}],
        )
        read = (await admin.get(f"/api/customers/{created['id']}")).json()

    assert created.keys() == FIELDS
    assert created | {"updated_at": None, "created_at": None} == read | {
        "updated_at": None,
        "created_at": None,
    }
    assert (read["phone"], read["name"]) == (PHONE, "Анна")
    assert [one["is_primary"] for one in read["addresses"]] == [False, True]
    assert read["important_dates"][0]["remind_days_before"] == 3
    assert read["rfm_score"] == {"recency": 1, "frequency": 1, "monetary": 1, "total": 3}


async def test_a_phone_has_one_customer_in_a_shop_and_may_have_one_in_another(
    shop: ShopKit,
) -> None:
    async with shop.staff() as admin, shop.staff(number=8) as other:
        first = await create(admin)
        again = await admin.post("/api/customers", json={"phone": "7012223344"})
        elsewhere = await create(other)
        foreign = await other.get(f"/api/customers/{first['id']}")
        bad = await admin.post("/api/customers/", json={"phone": "123"})

    assert (again.status_code, bad.status_code, foreign.status_code) == (400, 422, 404)
    assert isinstance(again.json()["detail"], str)
    assert elsewhere["id"] != first["id"]


async def test_parallel_first_orders_of_a_phone_have_one_customer(shop: ShopKit) -> None:
    metadata = Metadata(tenant=TENANT, actor="a")

    numbers = await asyncio.gather(
        *(handlers.ensure(shop.deps, PHONE, metadata, name=f"Анна {n}") for n in range(10))
    )

    assert len({*numbers}) == 1
    assert len(await shop.events(CustomerRegistered)) == 1


async def test_an_update_replaces_all_given_fields_or_none(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        await create(admin, "+77010000009")
        customer = await create(admin, name="Анна", notes="розы", addresses=["Абая 1"])
        path = f"/api/customers/{customer['id']}"
        taken = await admin.put(path, json={"name": "Белла", "phone": "+77010000009"})
        unchanged = (await admin.get(path)).json()
        changed = await admin.put(
            path, json={"phone": "+77010000010", "addresses": ["Абая 1", "Абая 2"], "email": ""}
        )
        freed = await create(admin, PHONE)

    assert (taken.status_code, unchanged["name"]) == (400, "Анна")
    assert changed.status_code == 200
    assert (changed.json()["phone"], changed.json()["notes"]) == ("+77010000010", "розы")
    assert changed.json()["addresses"][0]["id"] == customer["addresses"][0]["id"]
    assert freed["id"] != customer["id"]


async def test_parallel_edits_of_different_fields_are_all_kept(shop: ShopKit) -> None:
    edits: list[dict[str, Any]] = [
        {"name": "Анна"},
        {"email": "a@example.kz"},
        {"notes": "розы"},
        {"preferences": "без лилий"},
        {"source": "instagram"},
        {"phone": "+77010000010"},
        {"important_dates": [{"date": "03-08", "description": "мама"}]},
    ]
    streets = [f"Абая {number}" for number in range(8)]
    async with shop.staff() as admin:
        path = f"/api/customers/{(await create(admin, source='phone'))['id']}"
        answers = await asyncio.gather(
            *(admin.put(path, json=edit) for edit in edits),
            *(admin.post(f"{path}/addresses", json={"address": street}) for street in streets),
        )
        customer = (await admin.get(path)).json()

    assert {answer.status_code for answer in answers} == {200, 201}
    for edit in edits[:-1]:
        assert customer | edit == customer
    assert [one["description"] for one in customer["important_dates"]] == ["мама"]
    assert sorted(one["address"] for one in customer["addresses"]) == streets


async def test_an_address_or_a_date_is_added_once(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        path = f"/api/customers/{(await create(admin))['id']}"
        address = {"address": "Абая 1", "is_default": True}
        date = {"date": "02-29", "description": "годовщина"}
        first = [
            await admin.post(f"{path}/addresses", json=address),
            await admin.post(f"{path}/important-dates", json=date),
        ]
        again = [
            await admin.post(f"{path}/addresses/", json=address),
            await admin.post(f"{path}/important-dates/", json=date),
        ]
        bad = await admin.post(
            f"{path}/important-dates", json={"date": "13-01", "description": "x"}
        )
        customer = (await admin.get(path)).json()

    assert [one.status_code for one in first] == [201, 201]
    assert [one.status_code for one in again] == [400, 400]
    assert bad.status_code == 422
    assert customer["addresses"] == [first[0].json()]
    assert customer["important_dates"] == [first[1].json()]


async def test_a_record_that_the_form_would_refuse_is_read(shop: ShopKit) -> None:
    """C20. Orders have longer addresses, and a merged record the notes of both."""
    metadata = Metadata(tenant=TENANT, actor="a")
    async with shop.staff() as admin:
        kept, other = [
            (await create(admin, phone, notes=phone * 400))["id"]
            for phone in (PHONE, "+77010000009")
        ]
        await handlers.use_address(shop.deps, kept, "Абая " * 180, NOON, metadata)
        body = {"keep_customer_id": kept, "merge_customer_id": other}
        merged = await admin.post("/api/customers/merge", json=body)

    assert merged.status_code == 201
    assert len(merged.json()["addresses"][0]["address"]) == 900
    assert len(merged.json()["notes"]) > 9000


async def test_a_merged_record_keeps_addresses_and_orders(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        kept = await create(admin, name="Анна", addresses=["Абая 1"])
        other = await create(admin, "+77010000009", email="a@example.kz", addresses=["Абая 2"])
        await order_of(shop, other["id"])
        body = {"keep_customer_id": kept["id"], "merge_customer_id": other["id"]}
        merged = await admin.post("/api/customers/merge", json=body)
        read = (await admin.get(f"/api/customers/{kept['id']}")).json()
        gone = await admin.get(f"/api/customers/{other['id']}")
        again = await admin.post("/api/customers/merge", json=body)
        same = await admin.post(
            "/api/customers/merge", json={**body, "merge_customer_id": kept["id"]}
        )
        taken = await admin.post("/api/customers/", json={"phone": "+77010000009"})

    assert merged.status_code == 201
    assert [one["address"] for one in read["addresses"]] == ["Абая 1", "Абая 2"]
    assert (read["email"], read["orders_count"], read["total_spent"]) == ("a@example.kz", 1, 31500)
    assert merged.json()["orders_count"] == 1
    assert (gone.status_code, again.status_code, same.status_code) == (404, 404, 422)
    # The other phone leads to the customer that was kept.
    assert taken.status_code == 400


async def test_all_phones_of_merged_records_lead_to_the_last_customer(shop: ShopKit) -> None:
    phones = ["+77010000001", "+77010000002", "+77010000003"]
    metadata = Metadata(tenant=TENANT, actor="a")
    async with shop.staff() as admin:
        first, second, last = [(await create(admin, phone))["id"] for phone in phones]
        for kept, other in ((second, first), (last, second)):
            body = {"keep_customer_id": kept, "merge_customer_id": other}
            assert (await admin.post("/api/customers/merge", json=body)).status_code == 201

    owners = {await handlers.ensure(shop.deps, phone, metadata) for phone in phones}

    assert owners == {last}


async def order_of(shop: ShopKit, customer_id: int, order_id: int = 1) -> None:
    """Append an order of a customer, and project it."""
    metadata = Metadata(tenant=TENANT, actor="a")
    contact = await seal_all(shop.deps, TENANT, order_id, {"customer_phone": PHONE})
    command = place(
        order_id=order_id,
        customer_id=customer_id,
        details=replace(DETAILS, **contact),
    )
    await execute(shop.deps.store, ORDER, order_id, command, metadata=metadata)
    await shop.caught_up()


async def test_statistics_follow_the_orders(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        customer = await create(admin)
        await order_of(shop, customer["id"])
        listed = (await admin.get("/api/customers/")).json()

    assert listed["total"] == 1
    (read,) = listed["items"]
    assert (read["orders_count"], read["total_spent"]) == (1, 31500)
    assert read["last_order_date"] == NOON.isoformat().replace("+00:00", "Z")
    assert read["rfm_score"] == {"recency": 5, "frequency": 1, "monetary": 1, "total": 7}


async def test_customers_are_found_by_any_case_of_a_name_and_by_no_wildcard(
    shop: ShopKit,
) -> None:
    async with shop.staff() as admin:
        await create(admin, name="Анна")
        await create(admin, "+77010000009", name="Белла 100%")

        async def found(search: str) -> list[str]:
            page = (await admin.get("/api/customers/", params={"search": search})).json()
            assert page["total"] == len(page["items"])
            return [one["name"] for one in page["items"]]

        assert await found("анн") == ["Анна"]
        assert await found("%") == ["Белла 100%"]
        assert await found("7012") == ["Анна"]
        assert await found("_") == []


async def test_without_the_permission_there_are_no_customers(shop: ShopKit) -> None:
    async with shop.staff("orders") as florist:
        answers = [
            await florist.get("/api/customers/"),
            await florist.post("/api/customers/", json={"phone": PHONE}),
        ]

    assert {answer.status_code for answer in answers} == {403}


async def test_no_event_names_a_customer_and_a_forgotten_one_is_gone(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        customer = await create(admin, name="Анна", addresses=["Абая 1"])
        stored = await shop.fetch_value("SELECT string_agg(data::text, '') FROM events")
        subject = Subject(TENANT, f"customer-{customer['id']}")
        await shop.deps.vault.forget(subject, by="a", at=NOON)
        gone = await admin.get(f"/api/customers/{customer['id']}")
        page = (await admin.get("/api/customers/")).json()

    assert not any(text in stored for text in ("Анна", "Абая", "222", "\\u0410"))
    assert gone.status_code == 404
    assert page == {"items": [], "total": 0}
    row = "SELECT count(*) FROM customer WHERE coalesce(phone, name, person::text) IS NOT NULL"
    assert await shop.fetch_value(row) == 0


async def test_a_customer_who_is_merged_away_during_a_change_is_unknown(
    shop: ShopKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop.staff() as admin:
        kept, away = [(await create(admin, f"+7701000000{n}"))["id"] for n in range(2)]

        async def merged_before(*arguments: Any) -> None:
            monkeypatch.setattr(api, "await_writes", await_writes)
            await handlers.merge(shop.deps, kept, away, Metadata(tenant=TENANT))
            await shop.caught_up()
            await await_writes(*arguments)

        monkeypatch.setattr(api, "await_writes", merged_before)
        changed = await admin.put(f"/api/customers/{away}", json={"name": "Анна"})

    assert changed.status_code == 404
