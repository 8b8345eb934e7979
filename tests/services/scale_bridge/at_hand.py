"""Simulated scales for tests."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from services.scale_bridge.driver.adapters import operation
from services.scale_bridge.driver.adapters.driver import DEADLINE_SECONDS, Driver
from services.scale_bridge.driver.adapters.operation import Fetched, Info, Uploaded
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.document import Document
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.adapters.scale import Options
from services.scale_bridge.driver.simulator.adapters.server import Simulator, open_simulator
from services.scale_bridge.driver.simulator.domain.goods import catalogue

PASSWORD = "1234"


async def fetch(
    driver: Driver, where: Endpoint, password: str, deadline: float = DEADLINE_SECONDS
) -> Fetched:
    return await driver.run("fetch", operation.fetch, where, password, deadline)


async def upload(
    driver: Driver,
    where: Endpoint,
    password: str,
    document: Document,
    *,
    clear: bool,
    deadline: float = DEADLINE_SECONDS,
) -> Uploaded:
    exchange = partial(operation.upload, document=document, clear=clear)
    return await driver.run("upload", exchange, where, password, deadline)


async def probe(driver: Driver, where: Endpoint) -> Info:
    return await driver.run("probe", operation.probe, where)


@asynccontextmanager
async def a_scale(
    items: int = 5, *faults: str, base: ProductBase | None = None, **options: Any
) -> AsyncIterator[Simulator]:
    """A simulated scale with so many products. At the end no operations may have overlapped."""
    opened = open_simulator(
        base or ProductBase(catalogue(items)), options=Options(**options), faults=faults
    )
    async with opened as simulator:
        yield simulator
        simulator.transcript.assert_alone()
        assert simulator.transcript.malformed == 0


def endpoint(simulator: Simulator) -> Endpoint:
    return Endpoint(IPv4Address(simulator.host), simulator.port)


def priced(items: int, price: float) -> dict[str, Any]:
    """The catalogue of a scale with other prices."""
    document = catalogue(items)
    products = [{**item, "price": price} for item in document["products"]]
    return {**document, "products": products}


def prices(simulator: Simulator) -> set[float]:
    return {item["price"] for item in simulator.base.products}


def plus(products: Iterable[dict[str, Any]]) -> list[int]:
    return [item["pluNumber"] for item in products]
