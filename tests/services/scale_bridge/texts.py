"""Texts of labels: a scale that holds some, and what its device says of them."""

from typing import Any

from httpx import Response

from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.simulator.products import ProductBase
from tests.services.scale_bridge.service import Device


def a_base(items: int = 4, texts: int = 3, **more: Any) -> ProductBase:
    """Products, the first with a text, and lists that the service does not know."""
    document = catalogue(items)
    document["products"][0]["message"] = 1
    document["messages"] = [
        {"id": number, "value": f"Состав {number}", "deleted": False, "font": number}
        for number in range(1, texts + 1)
    ]
    return ProductBase({**document, "serviceLists": [{"x": {"y": [1]}}], **more})


async def set_text(device: Device, message: int, value: str) -> Response:
    """Edit a text; the answer."""
    return await device.put(f"/messages/{message}", value=value)


def texts(base: ProductBase) -> dict[int, str]:
    """What the scale holds, by id."""
    return {one["id"]: one["value"] for one in base.document["messages"]}
