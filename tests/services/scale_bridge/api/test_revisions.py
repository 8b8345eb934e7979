"""What was replaced stays: revisions are listed, compared and brought back (R7)."""

from typing import Any

from httpx import AsyncClient

from libs.postgres.pool import acquired
from services.scale_bridge.adapters import contents
from services.scale_bridge.handlers import catalogue
from services.scale_bridge.handlers.desk import Remembered
from tests.services.scale_bridge.at_hand import a_scale, priced
from tests.services.scale_bridge.inside import (
    Inside,
    dirty,
    edited,
    fetched,
    patch,
    registered,
    working,
)


async def cached(anna: AsyncClient, number: int) -> dict[str, Any]:
    answer = await anna.get(f"/devices/{number}/products/cached")
    document: dict[str, Any] = answer.json()["products"]
    return document


async def test_what_a_fetch_replaced_can_be_seen_and_brought_back(database: str) -> None:
    """(R7)"""
    async with a_scale(4) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        pending = await cached(anna, number)
        await fetched(anna, number)
        path = f"/devices/{number}/revisions"
        listed = (await anna.get(path)).json()
        diff = (await anna.get(f"{path}/diff?from=2&to=3")).json()
        before = (await anna.get(f"{path}/2")).json()["products"]

        assert [one["revision"] for one in listed] == [3, 2, 1]
        assert [one["confirmed"] for one in listed] == [True, False, False]
        assert listed[1]["after"]["price"] == 99.5
        assert diff["changed"]["2"]["price"]["before"] == 99.5
        assert before == pending

        reverted = await anna.post(f"{path}/2/revert")
        assert reverted.json()["products"] == pending
        assert await dirty(anna, number) is True
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert scale.base.products[1]["price"] == 99.5


async def test_a_revision_that_never_was_is_404(database: str) -> None:
    async with a_scale(4) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        path = f"/devices/{number}/revisions"

        for answer in (
            await anna.get(f"{path}/9"),
            await anna.get(f"{path}/0"),
            await anna.post(f"{path}/9/revert"),
            await anna.get(f"{path}/diff?from=1&to=9"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "RevisionUnknown")


async def test_revisions_are_bounded_and_the_present_one_survives_it(database: str) -> None:
    """(R19)"""
    async with a_scale(4) as scale, working(database, revisions=5) as made, made.client() as anna:
        number = await edited(anna, scale)
        for price in range(60):
            await patch(anna, number, 1, price=price)
        scale.base.keep(priced(4, 5.0))
        await fetched(anna, number)
        for price in range(60):
            await patch(anna, number, 1, price=100 + price)
        last = await cached(anna, number)
        before = await count(made)
        await old(made)
        assert await contents.tidy(made.deps.desk.pool, revisions=5) > 0
        assert await count(made) < before

        forgetful(made)
        assert await cached(anna, number) == last
        path = f"/devices/{number}/revisions"
        assert len((await anna.get(path)).json()) == 5
        newest = (await anna.get(path)).json()[0]["revision"]
        for back in range(5):
            assert (await anna.get(f"{path}/{newest - back}")).status_code == 200
        assert (await anna.get(f"{path}/2")).status_code == 404


async def count(made: Inside) -> int:
    async with acquired(made.deps.desk.pool) as connection:
        number: int = await connection.fetchval("SELECT count(*) FROM content")
    return number


async def old(made: Inside) -> None:
    """As if all of it had been written yesterday."""
    async with acquired(made.deps.desk.pool) as connection:
        await connection.execute("UPDATE content SET created_at = now() - interval '1 day'")


def forgetful(made: Inside) -> None:
    """Nothing is remembered in this process."""
    made.deps.desk.remembered._known.clear()
    assert isinstance(made.deps.desk.remembered, Remembered)


async def test_without_any_copy_kept_the_log_says_it_all(database: str) -> None:
    """(R9)"""
    async with a_scale(4) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        await anna.post(f"/devices/{number}/upload")
        last = await cached(anna, number)
        async with acquired(made.deps.desk.pool) as connection:
            await connection.execute("UPDATE catalogue_copy SET version = NULL")
        forgetful(made)

        assert await cached(anna, number) == last
        assert await dirty(anna, number) is False


async def test_what_is_kept_is_what_the_log_says(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        for price in range(catalogue.UNKEPT + 3):
            await patch(anna, number, 1 + price % 3, price=price)
        last = await cached(anna, number)
        async with acquired(made.deps.desk.pool) as connection:
            kept = await connection.fetchval(
                "SELECT count(*) FROM catalogue_copy WHERE version IS NOT NULL"
            )
        forgetful(made)

        assert kept == 2
        assert await cached(anna, number) == last


async def test_of_a_scale_that_is_gone_no_catalogue_is_kept(database: str) -> None:
    """(R19)"""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        other = await registered(anna, scale, name="the same catalogue")
        await fetched(anna, other)
        await anna.delete(f"/devices/{number}")
        await old(made)
        await contents.tidy(made.deps.desk.pool, revisions=50)
        assert await count(made) == 1

        await anna.delete(f"/devices/{other}")
        await contents.tidy(made.deps.desk.pool, revisions=50)
        assert await count(made) == 0
