"""A dump of the former system in our shop: what it becomes, and that it becomes so once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contracts.shop import OrderPlaced
from libs.eventsourcing.log import Metadata
from services.shop.context import IMPORT, tenant_of
from services.shop.imports import domain
from services.shop.imports.adapters import Unreadable, read_tables
from services.shop.imports.domain import BadRow, Values
from services.shop.imports.handlers import Account, Import
from services.shop.live.notifications.domain import next_reminder
from services.shop.live.notifications.reactions import order_notifications
from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.orders import NOON

DUMP = Path(__file__).with_name("shop.sql")


async def imported(shop: ShopKit) -> Mapping[str, Account]:
    """One run of the import into shop 7, after which the read models are level."""
    metadata = Metadata(tenant=tenant_of(7), actor=IMPORT)
    run = Import(shop.deps, read_tables(DUMP), metadata, of=1, zone=shop.deps.settings.zone)
    await run.run()
    await shop.caught_up()
    return run.accounts


async def test_a_dump_becomes_the_customers_products_stock_and_orders_of_a_shop(
    shop: ShopKit,
) -> None:
    await imported(shop)

    async with shop.staff() as staff:
        customers = (await staff.get("/api/customers/")).json()["items"]
        products = (await staff.get("/api/products/")).json()["items"]
        items = (await staff.get("/api/warehouse/")).json()["items"]
        orders = (await staff.get("/api/orders/")).json()["items"]
        order = (await staff.get(f"/api/orders/{orders[-1]['id']}")).json()
    by_phone = {one["phone"]: one for one in customers}
    assert len(by_phone) == 4
    anna = by_phone["+77011234567"]
    assert (anna["name"], anna["notes"], anna["orders_count"]) == ("Анна", "любит\nпионы", 1)
    assert anna["addresses"][0]["usage_count"] == 3
    assert anna["important_dates"][0]["date"] == "03-08"
    [product], [item] = products, items
    assert (product["current_price"], product["cost_price"]) == (16000, 0)
    assert product["ingredients"][0]["warehouse_item_id"] == item["id"]
    assert (item["qty"], item["reserved_qty"], item["price"]) == (25, 0, 1401)
    assert (order["status"], order["total"]) == ("delivered", 33500)
    assert order["delivery_window"]["from"] == "2025-07-02T09:00:00Z"
    assert order["items"][0]["product_id"] == product["id"]
    assert [one["text"] for one in order["comments"]] == ["без лент"]
    steps = [(one["old_status"], one["new_status"]) for one in order["history"]]
    assert {("new", "paid"), ("paid", "assembled"), ("assembled", "delivered")} <= {*steps}


async def test_every_row_is_accounted_for_and_rejected_ones_say_why(shop: ShopKit) -> None:
    accounts = await imported(shop)

    counts = {name: dict(+account.rows) for name, account in accounts.items()}
    assert counts["customers"] == {"imported": 2, "rejected": 1, "of another shop": 1}
    assert counts["warehouse_items"] == {"imported": 1, "rejected": 1}
    assert counts["orders"] == {"imported": 2, "rejected": 2}
    assert counts["order_items"] == {"part": 1}
    assert counts["users"] == {"left out": 1}
    assert accounts["customers"].rejects == [("3", "phone: not a phone")]
    assert accounts["warehouse_items"].rejects == [("6", "qty: negative or too large")]
    assert dict(accounts["orders"].rejects).keys() == {"12", "13"}
    tables = read_tables(DUMP)
    assert {name: sum(each.values()) for name, each in counts.items()} == {
        name: len(rows) for name, rows in tables.items()
    }


async def test_a_repeated_import_changes_nothing(shop: ShopKit) -> None:
    await imported(shop)
    before = await shop.fetch_value("SELECT count(*) FROM events")

    accounts = await imported(shop)

    assert await shop.fetch_value("SELECT count(*) FROM events") == before
    assert accounts["customers"].rows["known"] == 2
    assert accounts["orders"].rows["known"] == 2


async def test_a_customer_whom_the_shop_knows_stays_and_gets_the_former_orders(
    shop: ShopKit,
) -> None:
    async with shop.staff() as staff:
        body = {"phone": "+77011234567", "name": "Анна Иванова"}
        known = (await staff.post("/api/customers/", json=body)).json()

        accounts = await imported(shop)

        orders = (await staff.get(f"/api/customers/{known['id']}/orders")).json()
        after = (await staff.get(f"/api/customers/{known['id']}")).json()
    assert accounts["customers"].rows["existing"] == 1
    assert [one["total"] for one in orders] == [33500]
    assert after["name"] == "Анна Иванова"


async def test_the_events_hold_no_person_in_the_clear(shop: ShopKit) -> None:
    await imported(shop)

    stored: Any = await shop.fetch_value("SELECT string_agg(data::text, ' ') FROM events")
    for text in ("Анна", "Мама", "Абая", "праздником", "77011234567", "без лент", "пионы"):
        assert text not in stored


def test_tables_are_read_from_a_folder_of_csv_files_as_from_a_dump(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "users.csv").write_text("id,phone\n1,+77010000001\n2,\n")

    assert read_tables(folder) == {
        "users": [{"id": "1", "phone": "+77010000001"}, {"id": "2", "phone": None}]
    }
    assert read_tables(DUMP)["users"] == [{"id": "1", "phone": "+77010000001"}]


@pytest.mark.parametrize("content", ["", "no dump", "COPY public.users (id) FROM stdin;\n1\n"])
def test_a_file_that_is_no_whole_dump_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "shop.sql"
    file.write_text(content)

    with pytest.raises(Unreadable):
        read_tables(file)


async def test_imported_orders_of_the_former_storefront_are_announced_to_no_member(
    shop: ShopKit,
) -> None:
    reaction = order_notifications(shop.deps)
    await imported(shop)

    placed = await shop.events(OrderPlaced)

    assert "storefront" in {one.source for one in placed}
    assert [reaction.schedule_of(one) for one in placed] == [None] * len(placed)


def test_a_number_that_no_record_may_have_stops_neither_the_import_nor_the_reminders() -> None:
    created = {"created_at": "2025-07-01 10:00:00+00"}
    date = {"date": "03-08", "description": "мама", "remind_days_before": f"{2**31 - 1}"}

    person = domain.person(
        Values({"phone": "+77011234567", **created}), [], [(1, Values({**date, **created}))]
    )

    assert next_reminder(person.dates[0], NOON, ZoneInfo("UTC")) is not None
    with pytest.raises(BadRow):
        Values({"price": "1e+30"}).tenge("price")
