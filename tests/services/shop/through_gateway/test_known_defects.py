"""Defects of the original (spec shop §10, §11) that no subject has for itself."""

from collections import Counter

import asyncpg
import pytest

from contracts.routes import published
from tests.services.shop.orders.florist import Florist
from tests.services.shop.through_gateway.installation import Installation

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORDER = {"customer_phone": "87012223344", "delivery_method": "pickup"}
PLAIN = {**ORDER, "flower_sum": 5000, "total": 5000}


async def test_no_path_is_registered_twice() -> None:
    routes = Counter((one["method"], one["path"].rstrip("/")) for one in published("shop"))

    assert {one: times for one, times in routes.items() if times > 1} == {}


async def test_links_of_orders_are_long_and_counted_by_address(installation: Installation) -> None:
    _, anna = await installation.open_shop()
    async with installation.client(anna) as admin:
        tokens = {
            (await admin.post("/api/orders/", json=PLAIN)).json()["tracking_token"] for _ in "12"
        }

    assert [len(one) >= 32 for one in tokens] == [True, True]
    tracking = [
        one
        for one in published("shop")
        if one["path"].startswith(("/api/tracking", "/api/public/orders", "/api/public/status"))
    ]
    assert {one["limit"] for one in tracking} == {"public"}


async def test_an_order_of_an_unknown_product_leaves_nothing(installation: Installation) -> None:
    _, anna = await installation.open_shop()
    async with installation.client(anna) as admin:
        florist = Florist(admin)
        batch = await florist.stock(10)
        product = await florist.product((batch, 1))
        answer = await florist.order((product, 1), (999_999_999, 1))

        assert answer.status_code == 404
        assert (await admin.get("/api/orders/")).json()["total"] == 0
        assert (await admin.get("/api/customers/")).json()["total"] == 0
        assert await florist.level(batch) == (10, 0)


async def test_an_order_that_is_rolled_back_has_no_issue(installation: Installation) -> None:
    _, anna = await installation.open_shop()
    async with installation.client(anna) as admin:
        path = f"/api/orders/{(await admin.post('/api/orders/', json=PLAIN)).json()['id']}"
        issue = {"issue_type": "wrong_address", "comment": "нет такого дома"}
        reported = (await admin.patch(f"{path}/issue", json=issue)).json()
        back = {"target_status": "new", "reason": "нашли"}
        rolled = (await admin.post(f"{path}/rollback-status", json=back)).json()

    assert (reported["has_issue"], rolled["has_issue"], rolled["status"]) == (True, False, "new")
    assert (rolled["issue_type"], rolled["issue_comment"]) == (None, None)


async def test_a_pending_token_opens_no_route_of_a_shop(installation: Installation) -> None:
    someone = await installation.door.linked()
    await installation.door.log_in(someone)
    async with installation.client(someone) as client:
        for route in published("shop"):
            if route["scope"] and route["method"] != "(websocket)":
                path = route["path"].replace("{}", "1")
                answer = await client.request(route["method"], path)
                assert answer.status_code == 401, (route, answer.text)


async def test_an_internal_error_is_answered_without_details(
    installation: Installation, addresses: tuple[str, str]
) -> None:
    _, anna = await installation.open_shop()
    database = await asyncpg.connect(addresses[1])
    await database.execute("ALTER TABLE shop.customer_orders RENAME TO elsewhere")
    try:
        async with installation.client(anna) as admin:
            answer = await admin.get("/api/orders/", params={"search": "секрет"})
    finally:
        await database.execute("ALTER TABLE shop.elsewhere RENAME TO customer_orders")
        await database.close()

    assert answer.status_code == 500
    assert answer.json() == {"detail": "Something went wrong on our side."}
    assert answer.headers["x-request-id"]
