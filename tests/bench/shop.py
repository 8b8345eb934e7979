"""Orders of a flower shop that reserve stock, the list of them, and the pages that follow them."""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import aiohttp

from deploy.local.postgres import query
from deploy.local.services import SERVICES
from services.shop.context import shop_number
from services.shop.orders.read_models.tables import COUNT, ORDER
from tests.bench import shop_peer
from tests.bench.bench import Bench, Loop
from tests.bench.clients import CONNECTIONS
from tests.bench.costs import Usage
from tests.bench.generator import Generator, Target
from tests.bench.house import FILL_SECONDS, SHOP_TENANT, Installation, open_peer
from tests.bench.measure import FLAT, Goal, Measured, at_least, limited, percentile
from tests.bench.meter import Costs, Meter

SHOP: Final = next(one for one in SERVICES if one.name == "shop")
PLACE: Final = "/api/orders/with-items"
LIST: Final = "/api/orders/?limit=20"
STEMS: Final = 1_000_000
POSITIONS: Final = 250
"""Positions of one delivery."""
PHONES: Final = 1000
LISTED_PER_SECOND: Final = 50
ORDERS_PER_SECOND: Final = 20
LATE_MS: Final = 100.0

FILL: Final = f"""
INSERT INTO shop.{ORDER.name} SELECT filled.*
FROM (SELECT to_jsonb(one) AS row FROM shop.{ORDER.name} AS one WHERE order_id > 0
    LIMIT 1) AS known,
    generate_series((SELECT count(*) FROM shop.{ORDER.name}), {{orders}} - 1) AS n,
    jsonb_populate_record(NULL::shop.{ORDER.name}, known.row || jsonb_build_object(
        'order_id', -n, 'number', -n, 'tracking_token', 'filled-' || n)) AS filled;
"""
"""Copies of an order in the read model, until it has so many."""
RECOUNT: Final = f"""
DELETE FROM shop.{COUNT.name};
INSERT INTO shop.{COUNT.name} SELECT tenant, status, count(*) FROM shop.{ORDER.name} GROUP BY 1, 2;
"""


def run(bench: Bench) -> Iterator[Measured]:
    """Ours and the peer in turn, over all items and over one; then the list, and the pages."""
    scale = bench.scale
    with (
        bench.servers.installation(SHOP) as ours,
        open_peer(bench.servers, "shop_peer") as peer,
        Generator() as generator,
        Loop() as loop,
    ):
        ours.publish_keys()
        ours.start("shop-api", "shop-worker")
        bench.tell(f"giving both shops {scale.shop_items:,} products")
        products = loop.do(_fill(ours, scale.shop_items))
        query(peer.database_url, shop_peer.FILL.format(items=scale.shop_items))
        numbers = {
            ours.shop(PLACE).url: products,
            peer.at(PLACE).url: [*range(1, 1 + len(products))],
        }
        for items, goal in ((scale.shop_items, at_least(2.0)), (1, at_least(1.0))):
            what = f"orders over {items:,}"
            costs = Costs(f"{what}, the shop", Meter(ours.database_url, ours.pids))
            shop = _Orders(generator, numbers, items, costs)
            costs = Costs(f"{what}, plain", peer.meter(bench.servers))
            plain = _Orders(generator, numbers, items, costs)
            rates = bench.interleaved(
                partial(shop.rate, ours.shop(PLACE), scale.shop_orders),
                partial(plain.rate, peer.at(PLACE), scale.shop_orders),
            )
            yield from _rows(items, rates, (shop, plain), goal)
        yield _listed(bench, ours, generator)
        late = loop.do(_late(ours, products, seconds=scale.fresh_seconds))
        note = f"{ORDERS_PER_SECOND} orders a second; the message and the answer to the order"
        yield limited("order's WebSocket message p99", [late], limit=LATE_MS, unit="ms", note=note)


class _Orders:
    """Orders of one line each, over the first of the products, and how long they took."""

    def __init__(
        self, generator: Generator, numbers: Mapping[str, list[int]], items: int, costs: Costs
    ) -> None:
        self._generator, self._numbers, self._items = generator, numbers, items
        self.costs = costs
        self.p99: list[float] = []
        self.warning = ""

    def rate(self, target: Target, count: int) -> float:
        """Orders a second."""
        products = self._numbers[target.url][: self._items]
        bodies = [json.dumps(order(random.choice(products))) for _ in range(count)]
        with self.costs.sample(count) as cost:
            done = self._generator.closed(
                target, count=count, connections=CONNECTIONS, bodies=bodies
            )
            cost.add_usage("generator", Usage(done.cpu))
        self.p99.append(done.p(0.99))
        self.warning = self.warning or done.warning
        return count / done.seconds


def order(product: int) -> dict[str, Any]:
    """An order of one piece, by one of a thousand customers."""
    return {
        "customer_phone": f"+770{random.randrange(PHONES):08}",
        "delivery_method": "self_pickup",
        "items": [{"product_id": product, "quantity": 1}],
    }


def _rows(
    items: int, rates: list[list[float]], sides: tuple[_Orders, _Orders], goal: Goal
) -> Iterator[Measured]:
    of = f"order with reservation, 32 connections, {items:,} {'item' if items == 1 else 'items'}"
    shop, plain = rates
    yield Measured(
        f"{of}, vs plain FastAPI + SQLAlchemy with row locks",
        shop,
        plain,
        unit="orders/s",
        goal=goal,
        note=sides[0].warning or "ours is answered when the order is visible in the list",
        costs=[one.costs.total for one in sides],
    )
    # The first sample of a side warms it up.
    p99 = [one.p99[1:] for one in sides]
    yield Measured(f"{of}: p99", *p99, unit="ms")


def _listed(bench: Bench, ours: Installation, generator: Generator) -> Measured:
    """The first page of few and of many orders."""
    few, many = bench.scale.shop_listed
    taken: dict[int, list[float]] = {}
    for number in (few, many):
        bench.tell(f"a list of {number:,} orders")
        for sql in (
            f"DELETE FROM shop.{ORDER.name} WHERE order_id < 0 OR order_id > 100",
            FILL.format(orders=number),
            RECOUNT,
            f"VACUUM ANALYZE shop.{ORDER.name}",
        ):
            query(ours.database_url, sql, timeout_seconds=FILL_SECONDS)
        taken[number] = [
            generator.schedule(
                ours.shop(LIST), rate=LISTED_PER_SECOND, seconds=bench.scale.calm_seconds
            ).p(0.99)
            for _ in range(bench.scale.rounds)
        ]
    name = f"list of {many:,} orders p99 vs {few:,}"
    return Measured(name, taken[many], taken[few], unit="ms", goal=FLAT)


async def _fill(ours: Installation, items: int) -> list[int]:
    """Products of one batch each; their numbers."""
    async with aiohttp.ClientSession() as session:

        async def post(path: str, body: Any) -> Any:
            target = ours.shop(path)
            async with session.post(target.url, json=body, headers=target.headers) as response:
                response.raise_for_status()
                return await response.json()

        batches: list[int] = []
        for first in range(0, items, POSITIONS):
            positions = [
                {"variety": f"Variety {n}", "height_cm": 60, "qty": STEMS, "cost_per_stem": 1}
                for n in range(first, min(first + POSITIONS, items))
            ]
            delivery: dict[str, Any] = {"supplier": "S", "farm": "F", "currency": "KZT", "rate": 1}
            delivery |= {"delivery_date": "2026-03-08T00:00:00Z", "positions": positions}
            received = await post("/api/warehouse/deliveries", delivery)
            batches += [one["id"] for one in received["positions"]]
        products: list[int] = []
        for batch in batches:
            product: dict[str, Any] = {"name": f"Bouquet {batch}", "category": "bouquet"}
            product |= {"cost_price": 500, "retail_price": 1000}
            products.append((await post("/api/products/", product))["id"])
            ingredient = {"warehouse_item_id": batch, "quantity": 1}
            await post(f"/api/products/{products[-1]}/ingredients", ingredient)
        return products


async def _late(ours: Installation, products: list[int], seconds: float) -> float:
    """The 99th percentile of what passed between the answer to an order and its message, in ms;
    less than nothing if the message came first."""
    path = f"/ws/orders/{shop_number(SHOP_TENANT)}"
    place, listen = ours.shop(PLACE), ours.shop(path)
    answered: dict[int, float] = {}
    received: dict[int, float] = {}
    number = max(2, int(ORDERS_PER_SECOND * seconds))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(listen.url, headers=listen.headers) as socket,
    ):

        async def receive() -> None:
            while len(received) < number:
                message = await socket.receive_json()
                if message["type"] == "order_created":
                    received[message["data"]["id"]] = time.perf_counter()

        async def send() -> None:
            body = order(random.choice(products))
            async with session.post(place.url, json=body, headers=place.headers) as response:
                response.raise_for_status()
                answered[(await response.json())["id"]] = time.perf_counter()

        async with asyncio.timeout(60 + seconds), asyncio.TaskGroup() as group:
            group.create_task(receive())
            for _ in range(number):
                group.create_task(send())
                await asyncio.sleep(1 / ORDERS_PER_SECOND)
    return percentile([received[one] - at for one, at in answered.items()], 0.99) * 1000
