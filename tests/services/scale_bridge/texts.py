"""Texts of labels: a scale that holds some, and people who edit them."""

from typing import Any

from httpx import AsyncClient

from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.simulator.products import ProductBase


def a_base(items: int = 4, texts: int = 3, **more: Any) -> ProductBase:
    """Products, the first with a text, and things that nobody here knows."""
    document = catalogue(items)
    document["products"][0]["message"] = 1
    document["messages"] = [
        {"id": number, "value": f"Состав {number}", "deleted": False, "font": number}
        for number in range(1, texts + 1)
    ]
    return ProductBase({**document, "serviceLists": [{"x": {"y": [1]}}], **more})


async def put(anna: AsyncClient, number: int, message: int, value: str) -> Any:
    """Have a text; the answer."""
    return await anna.put(f"/devices/{number}/messages/{message}", json={"value": value})


async def label(anna: AsyncClient, number: int) -> Any:
    """Everything labels refer to."""
    answer = await anna.get(f"/devices/{number}/label")
    assert answer.status_code == 200, answer.text
    return answer.json()


def texts(base: ProductBase) -> dict[int, str]:
    """What the scale holds, by id."""
    return {one["id"]: one["value"] for one in base.document["messages"]}
