"""What the shop says in tests, and what becomes of it."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from httpx import AsyncClient

from contracts.scale_bridge import OperationQueued
from contracts.shop import PriceChanged, PriceId
from libs.clock import utc_now
from services.scale_bridge.adapters.simulator.server import Simulator
from services.scale_bridge.handlers import price
from tests.services.scale_bridge.inside import Inside

ARTICLE = 51
"""The code of a scale's second product."""


def changed(amount: int = 12_345, **different: Any) -> PriceChanged:
    """A price of the article, valid now."""
    now = utc_now()
    told: dict[str, Any] = {
        "price_id": PriceId(uuid4()),
        "article": ARTICLE,
        "amount": amount,
        "currency": "RUB",
        "valid_at": now,
        "changed_by": "office",
        "changed_at": now,
    }
    return PriceChanged(**told | different)


async def says(made: Inside, change: PriceChanged, trace: str | None = None) -> int:
    """The shop says it to everybody who is known; to how many that is."""
    await made.fresh.caught_up("drift")
    desk = made.deps.desk
    taken = await price.change_price(desk, change, tenant="demo", currency="RUB", trace=trace)
    return len(taken)


async def delivery(client: AsyncClient, article: int = ARTICLE) -> dict[str, Any]:
    """Where the last price of the article is."""
    answer = await client.get(f"/prices/{article}/delivery")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def shows(scale: Simulator, amount: float) -> Callable[[], Awaitable[bool]]:
    """Whether the scale shows it by now, for who waits for it."""

    async def found() -> bool:
        return bool(scale.base.products[1]["price"] == amount)

    return found


async def clean(client: AsyncClient, number: int) -> bool:
    """Whether the scale holds all that is stored, as the log has it."""
    return not (await client.get(f"/devices/{number}")).json()["cached_dirty"]


async def states(client: AsyncClient, article: int = ARTICLE) -> list[str]:
    """How far it is, scale by scale."""
    return [one["state"] for one in (await delivery(client, article))["scales"]]


async def by_price(made: Inside) -> list[OperationQueued]:
    """What was ordered because of prices."""
    return [one for one in await made.events(OperationQueued) if one.asked_by == "price"]
