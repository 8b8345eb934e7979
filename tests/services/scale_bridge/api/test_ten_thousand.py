"""Ten thousand products go the whole way: what is told of them fits into the log."""

from contracts.scale_bridge import DatesRefreshed, ProductsShown
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    dirty,
    ended,
    fetched,
    patch,
    registered,
    working,
)

MANY = 10_000


async def test_ten_thousand_products_are_read_edited_dated_and_written(database: str) -> None:
    """(R13, R21)"""
    async with (
        a_scale(MANY) as scale,
        working(database, reply_seconds=10) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        assert len((await fetched(anna, number))["products"]) == MANY
        assert (await patch(anna, number, MANY, price=3.0)).status_code == 200
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "refresh"})
        job = await ended(anna, ordered)
        await made.fresh.wait("device", "")

        assert job["outcome"] == "verified"
        assert await dirty(anna, number) is False
        assert scale.base.products[-1]["price"] == 3.0
        dated = await made.events(DatesRefreshed)
        assert sum(len(part.dates) for part in dated) == MANY
        shown = await made.events(ProductsShown)
        assert sum(len(part.shown) for part in shown) >= MANY
