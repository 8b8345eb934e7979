"""Simulated scales for tests."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import Any

from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.adapters.scale import Options
from services.scale_bridge.driver.simulator.adapters.server import Simulator, open_simulator
from services.scale_bridge.driver.simulator.domain.goods import catalogue

PASSWORD = "1234"


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
