"""Who may do what at the shop's door: no token, another shop, a role without the permission."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from contracts.routes import published
from libs.testing.polling import PATIENCE_SECONDS
from services.gateway.accounts.domain.shop_role import DEFAULTS
from tests.services.shop.kit import open_shop
from tests.services.shop.through_gateway.installation import Installation
from tests.services.shop.through_gateway.sending import Ids, send, send_all, shop_with_staff
from tests.services.shop.through_gateway.story import STORY, Row

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = published("shop")
HTTP = [route for route in ROUTES if route["method"] != "(websocket)"]
PUBLIC = {
    *("GET /uploads/{}", "GET /api/health/db", "POST /api/orders/{}/payment-webhook"),
    *("GET /api/tracking/{}", "GET /api/public/orders/{}", "GET /api/public/status/{}"),
    *("PATCH /api/public/orders/{}/address", "GET /api/public/orders/{}/photos"),
    *("GET /api/public/orders/{}/comments", "POST /api/public/orders/{}/comments"),
    *("POST /api/public/orders/{}/feedback", "GET /api/public/shops/{}", "POST /api/public/orders"),
    *("GET /api/public/products", "GET /api/public/shops/{}/products"),
    *("GET /api/public/shops/{}/categories", "POST /api/public/shops/{}/orders"),
}
SECRETS = ("Фридом", "Flora", "Букет роз", "Ерлан", "7701222", "Айгуль", "Абая", "ROS-1", "ваза")
TEXTS = ("/images", "/prices", "/supplies/import")
"""Routes whose bodies may name what another shop has, and do nothing with it."""


@dataclass
class Shops:
    """Two shops that did the same: ids by name, and members by role."""

    installation: Installation
    ours: Ids
    theirs: Ids
    members: dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shops(installation: Installation) -> AsyncIterator[Shops]:
    (ours, members), (theirs, others) = [await shop_with_staff(installation) for _ in range(2)]
    wrong = [
        await send_all(installation, one["admin"], ids)
        for one, ids in ((members, ours), (others, theirs))
    ]
    assert wrong == [[], []]
    yield Shops(installation, ours, theirs, members)


def ids_in(text: object) -> set[str]:
    """The names of ids in a path or a body, without those that exist nowhere."""
    return set(re.findall(r"{(\w+)}", str(text))) - {"unknown", "shop", "today"}


def name_of(one: Row) -> str:
    return f"{one.method} {one.target} {one.body}"


async def test_ids_of_another_shop_are_unknown_on_every_route(shops: Shops) -> None:
    """In paths and bodies, also beside ids of one's own."""
    answered, walked = [], set()
    async with shops.installation.client(shops.members["admin"]) as admin:
        for one in STORY:
            if one.kind or not ids_in((one.target, one.body)):
                continue
            if ids_in(one.target):
                answer = await send(admin, one, {**shops.theirs, "shop": shops.ours["shop"]})
                refused = answer.status_code == 404 or answer.status_code == one.status == 422
                answered += [(name_of(one), answer.text)] * (not refused)
                walked.add(one.route)
            if ids_in(one.body) and not one.route[1].endswith(TEXTS):
                answer = await send(admin, one, shops.ours, bodies=shops.theirs)
                refused = answer.status_code in (400, 404, 409, 422)
                answered += [(name_of(one), answer.text)] * (not refused)

    assert answered == []
    assert walked >= {
        (route["method"], route["path"].rstrip("/"))
        for route in HTTP
        # A date names nothing of another shop.
        if route["scope"] and "{}" in route["path"] and "/days/" not in route["path"]
    }


async def test_lists_hold_nothing_of_another_shop(installation: Installation) -> None:
    _, newcomer = await installation.open_shop("Тюльпаны")
    async with installation.client(newcomer) as admin:
        for route in HTTP:
            if route["method"] == "GET" and "{}" not in route["path"]:
                answer = await admin.get(route["path"], params={"search": ""})
                assert answer.status_code == (422 if "public" in route["path"] else 200), route
                assert not [one for one in SECRETS if one in answer.text], route


async def test_without_a_token_there_is_nothing_but_the_public_routes(shops: Shops) -> None:
    assert {f"{one['method']} {one['path']}" for one in HTTP if not one["scope"]} == PUBLIC
    async with (
        shops.installation.client() as stranger,
        shops.installation.shop.anonymous() as inner,
    ):
        for route in HTTP:
            if route["scope"]:
                for client in (stranger, inner):
                    answer = await client.request(route["method"], _filled(route))
                    assert answer.status_code == 401, route
                    assert answer.headers["www-authenticate"].startswith("Bearer")
                    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("role", DEFAULTS)
async def test_a_role_may_do_what_its_permissions_say(shops: Shops, role: str) -> None:
    async with shops.installation.client(shops.members[role]) as member:
        for route in HTTP:
            if route["scope"]:
                answer = await member.request(route["method"], _filled(route))
                may = route["scope"].removeprefix("shop:") in DEFAULTS[role]
                assert (answer.status_code == 403) is not may, (route, answer.text)
                assert answer.status_code not in (401, 500), (route, answer.text)
        assert (await member.get("/api/auth/current-user")).status_code == 200
        assert ((await member.get("/api/users/")).status_code == 403) is (role != "admin")


async def test_the_service_does_not_rely_on_the_gateway(addresses: tuple[str, str]) -> None:
    async with open_shop(addresses[1]) as shop, shop.staff("users") as member:
        for route in HTTP:
            if route["scope"]:
                answer = await member.request(route["method"], _filled(route))
                assert answer.status_code == 403, route


async def test_a_page_receives_messages_of_its_own_shop_only(shops: Shops) -> None:
    ours, theirs = shops.ours["shop"], shops.theirs["shop"]
    assert {one["path"] for one in ROUTES} - {one["path"] for one in HTTP} == {
        "/ws/orders/{}",
        "/ws/production/{}",
    }
    for kind in ("orders", "production"):
        for shop, role in ((theirs, "admin"), (ours, None), (ours, "courier")):
            may = (kind, shop, role) == ("orders", ours, "courier")
            token = f"?token={_token(shops, role)}" if role else ""
            async with (
                aiohttp.ClientSession(shops.installation.url) as client,
                client.ws_connect(f"/ws/{kind}/{shop}{token}") as page,
            ):
                greeting = await page.receive(PATIENCE_SECONDS)
                assert (page.close_code == 1008) is not may, (kind, shop, role)
                assert not may or greeting.json()["status"] == "connected"


async def test_a_page_receives_a_new_order_through_the_gateway(shops: Shops) -> None:
    path = f"/ws/orders/{shops.ours['shop']}?token={_token(shops, 'admin')}"
    async with (
        aiohttp.ClientSession(shops.installation.url) as client,
        client.ws_connect(path) as page,
        shops.installation.client(shops.members["admin"]) as admin,
    ):
        await page.receive_json(timeout=PATIENCE_SECONDS)
        body = {
            "customer_phone": "87010000000",
            "delivery_method": "pickup",
            "flower_sum": 5,
            "total": 5,
        }
        placed = (await admin.post("/api/orders/", json=body)).json()
        message = await page.receive_json(timeout=PATIENCE_SECONDS)

    assert (message["type"], message["data"]["id"]) == ("order_created", placed["id"])
    assert message["data"]["customer_phone"] == placed["customer_phone"]


def _token(shops: Shops, role: str) -> str:
    return str(shops.members[role].headers["Authorization"].removeprefix("Bearer "))


def _filled(route: dict[str, Any]) -> str:
    return str(route["path"]).replace("{}", "999999999")
