"""A catalogue under test: products as staff add them."""

from typing import Any, Final

from httpx import AsyncClient

BOUQUET: Final = {
    "name": "Нежность",
    "category": "bouquet",
    "cost_price": 10_000,
    "retail_price": 25_000,
}


async def add(staff: AsyncClient, **fields: Any) -> dict[str, Any]:
    """Add a product, and return it as the API answers it."""
    answer = await staff.post("/api/products/", json=BOUQUET | fields)
    assert answer.status_code == 201, answer.text
    product: dict[str, Any] = answer.json()
    return product
