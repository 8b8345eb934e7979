"""Orders in two processes of the API, of which one is killed: nothing is oversold or lost (C3)."""

import asyncio
import itertools
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from deploy.local.ports import free_port
from deploy.local.services import says_ready
from libs.clock import utc_now
from libs.postgres.pool import Pool
from libs.testing.callers import bearer
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.services.shop.gateway import ANNA, Gateway
from tests.services.shop.kit import SEAL_KEY, TENANT, ShopKit
from tests.services.shop.orders.florist import Florist

PLACED = "SELECT count(*) FROM events WHERE type LIKE '%OrderPlaced'"
PORTS = {"api": "SHOP_HTTP_PORT", "worker": "SHOP_WORKER_HTTP_PORT"}
STEMS = """
SELECT quantity, reserved,
    (SELECT sum(quantity) FROM stock_movement AS m WHERE m.warehouse_item_id = $1) AS moved,
    (SELECT sum(reserved) FROM stock_allocation AS a WHERE a.warehouse_item_id = $1) AS allocated
FROM stock_level WHERE warehouse_item_id = $1
"""

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(600)]


@dataclass
class Installation:
    """Two processes of the API and a worker on one database; a client of each API."""

    environment: dict[str, str]
    stack: AsyncExitStack
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    apis: list[Process] = field(default_factory=list)
    florists: list[Florist] = field(default_factory=list)

    async def start(self, role: str, port: int) -> Process:
        """A process of the service, killed in the end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.shop", role),
            env=os.environ | self.environment | {PORTS[role]: str(port)},
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        self.stack.push_async_callback(killed, process)
        return process

    async def start_api(self, port: int) -> Process:
        process = await self.start("api", port)
        await eventually(lambda: says_ready(port), what=f"the API at {port}")
        return process

    async def buy(self, buyer: int, product: int) -> httpx.Response:
        """The answer to a buyer's order, who sends it again to the other process without one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for attempt in itertools.count(buyer):
                try:
                    answer = await self.order(attempt % 2, buyer, product)
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    return answer
        raise AssertionError("the last attempt returns, or there is no time left")

    async def order(self, process: int, buyer: int, product: int) -> httpx.Response:
        return await self.florists[process].order(
            (product, 1),
            headers={"Idempotency-Key": f"buyer {buyer}"},
            customer_phone=f"+7701{buyer:07}",
            delivery_method="self_pickup",
        )


async def killed(process: Process) -> None:
    """End a process with SIGKILL."""
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.fixture
async def installation(database: str, gateway: Gateway) -> AsyncIterator[Installation]:
    environment = {
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SHOP_JWKS_URL": gateway.jwks_url,
        "SHOP_SEAL_KEYS": SEAL_KEY,
        "SHOP_FILES_URL": "memory:///",
        "SHOP_STALE_WAIT_SECONDS": "10",
    }
    # Longer ones are checked at the gateway while Kafka, and with it revocations, is away.
    token = bearer(
        "shop",
        subject=str(ANNA["account_id"]),
        tenant=TENANT,
        scopes=ShopKit.SCOPES,
        now=utc_now() + timedelta(days=1),
        lifetime=timedelta(minutes=15),
    )
    async with AsyncExitStack() as stack:
        made = Installation(environment, stack)
        await made.start("worker", free_port())
        made.apis = list(await asyncio.gather(*map(made.start_api, made.ports)))
        for port in made.ports:
            client = httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers=token,
                timeout=PATIENCE_SECONDS,
                limits=httpx.Limits(max_connections=None),
            )
            made.florists.append(Florist(await stack.enter_async_context(client)))
        yield made


async def bouquet(florist: Florist, pieces: int) -> tuple[int, int]:
    """A batch of so many stems, and a product that takes one."""
    roses = await florist.stock(pieces)
    return roses, await florist.product((roses, 1))


async def assert_sold(pool: Pool, roses: int, pieces: int) -> None:
    """So many orders were placed, and every stem is reserved for one of them."""

    async def stems() -> tuple[Any, ...]:
        return tuple(await pool.fetchrow(STEMS, roses) or ())

    assert await pool.fetchval(PLACED) == pieces
    await eventually(stems, (pieces, pieces, pieces, pieces), what="the stock")


async def test_of_forty_buyers_five_get_the_five_bouquets_although_a_process_is_killed(
    installation: Installation, pool: Pool
) -> None:
    roses, product = await bouquet(installation.florists[1], 5)
    first = [asyncio.create_task(installation.buy(n, product)) for n in range(0, 40, 2)]
    await eventually(lambda: pool.fetchval(PLACED), what="an order", poll_seconds=0.001)
    others = [asyncio.create_task(installation.buy(n, product)) for n in range(1, 40, 2)]
    assert not all(one.done() for one in first)

    await killed(installation.apis[0])
    answers = await asyncio.gather(*first, *others)

    assert Counter(one.status_code for one in answers) == {201: 5, 409: 35}
    numbers = (*range(0, 40, 2), *range(1, 40, 2))
    sold = {
        n: answer.json()["id"]
        for n, answer in zip(numbers, answers, strict=True)
        if answer.status_code == 201
    }
    assert len({*sold.values()}) == 5
    assert any(n % 2 == 0 for n in sold)  # what the killed process had placed
    await assert_sold(pool, roses, 5)
    # What was answered exists, and a repetition gets it again, at both processes.
    await installation.start_api(installation.ports[0])
    for (buyer, order_id), process in itertools.product(sold.items(), range(2)):
        again = await installation.order(process, buyer, product)
        assert (again.status_code, again.json()["id"]) == (201, order_id)
        assert (await installation.florists[process].detail(order_id))["id"] == order_id
    await assert_sold(pool, roses, 5)


async def test_of_a_thousand_buyers_ten_get_the_ten_bouquets_and_none_an_error(
    installation: Installation, pool: Pool
) -> None:
    roses, product = await bouquet(installation.florists[0], 10)

    answers = await asyncio.gather(*(installation.order(n % 2, n, product) for n in range(1000)))

    assert Counter(one.status_code for one in answers) == {201: 10, 409: 990}
    await assert_sold(pool, roses, 10)
