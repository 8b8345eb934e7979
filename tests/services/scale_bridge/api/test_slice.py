"""The whole way: a scale is registered, read, edited, and shows what was edited."""

from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import dirty, fetched, patch, registered, working


async def test_a_scale_is_read_edited_and_written(database: str) -> None:
    """(R8)"""
    async with a_scale(5) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        assert await dirty(anna, number) is False
        empty = (await anna.get(f"/devices/{number}/products/cached")).json()
        assert empty == {"products": {"products": []}}

        document = await fetched(anna, number)
        assert document == simulator.base.document
        assert await dirty(anna, number) is False

        edited = await patch(anna, number, 3, price=77.5)
        assert edited.status_code == 200
        assert edited.json()["products"]["products"][2]["price"] == 77.5
        assert await dirty(anna, number) is True

        answer = await anna.post(f"/devices/{number}/upload")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert simulator.base.products[2]["price"] == 77.5
        assert await dirty(anna, number) is False
        [read, sent] = await made.ends()
        assert (read.outcome, sent.outcome) == ("done", "verified")
