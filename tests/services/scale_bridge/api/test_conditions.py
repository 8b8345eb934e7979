"""Who edits what they have seen is told if it is not that any more (SCL-3, RFC 9110 §13)."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient, Response

from contracts.scale_bridge import ProductEdited
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import fetched, inside, patch, registered, working


async def edit(
    client: AsyncClient, number: int, plu: int | str, tag: str | None, **fields: Any
) -> Response:
    headers = {} if tag is None else {"If-Match": tag}
    path = f"/devices/{number}/products/{plu}"
    return await client.patch(path, json={"fields": fields}, headers=headers)


async def cached(client: AsyncClient, number: int, tag: str | None = None) -> Response:
    headers = {} if tag is None else {"If-None-Match": tag}
    return await client.get(f"/devices/{number}/products/cached", headers=headers)


async def test_every_answer_names_the_revision_it_shows(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        empty = await cached(anna, number)
        read = await anna.get(f"/devices/{number}/products")
        same = await anna.get(f"/devices/{number}/products")
        edited = await patch(anna, number, 1, price=5)
        nothing = await patch(anna, number, 1, price=5)

        tags = [one.headers["ETag"] for one in (empty, read, same, edited, nothing)]
        assert tags[1] == tags[2]
        assert tags[3] == tags[4] == (await cached(anna, number)).headers["ETag"]
        assert len(set(tags)) == 3
        for tag in tags:
            assert tag.startswith('"')
            assert tag.endswith('"')


async def test_who_has_the_copy_does_not_get_it_again(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        tag = (await cached(anna, number)).headers["ETag"]

        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await cached(anna, number, known)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == tag
        await patch(anna, number, 1, price=5)
        changed = await cached(anna, number, tag)
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag


async def test_an_edit_of_what_was_seen_is_stored(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        tag = (await cached(anna, number)).headers["ETag"]
        first = await edit(anna, number, 1, tag, price=5)
        second = await edit(anna, number, 2, f'"x", {first.headers["ETag"]}', price=6)
        third = await edit(anna, number, 3, "*", price=7)

        assert [one.status_code for one in (first, second, third)] == [200, 200, 200]
        items = (await cached(anna, number)).json()["products"]["products"]
        assert [item["price"] for item in items] == [5, 6, 7]


@pytest.mark.parametrize("wanted", ['"0"', "W/{}", "1", "", "garbage", '"0", W/{}'])
async def test_any_other_is_412_and_nothing_is_stored(database: str, wanted: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        before = await cached(anna, number)
        tag = before.headers["ETag"]
        answer = await edit(anna, number, 1, wanted.format(tag), price=5)

        assert answer.status_code == 412
        assert isinstance(answer.json()["detail"], str)
        assert answer.json()["code"] == "PreconditionFailed"
        assert answer.headers["ETag"] == tag
        assert (await cached(anna, number)).content == before.content
        assert await made.events(ProductEdited) == []


async def test_what_would_fail_anyhow_fails_as_ever(database: str) -> None:
    """RFC 9110 §13.2.1: who asks for what is not there learns that, whatever they expected."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)

        assert (await edit(anna, number, 77, '"0"', price=5)).status_code == 404
        assert (await edit(anna, 999_999, 1, '"0"', price=5)).status_code == 404
        tag = (await cached(anna, number)).headers["ETag"]
        assert (await edit(anna, number, 1, tag, price=-1)).status_code == 422
        assert await made.events(ProductEdited) == []


async def test_of_twenty_who_saw_the_same_one_is_in_time(database: str) -> None:
    """In two processes, whose edits do not wait for each other."""
    async with a_scale(20) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        tag = (await cached(anna, number)).headers["ETag"]
        async with inside(database) as twin, twin.client() as also_anna:
            answers = await asyncio.gather(
                *(
                    edit(anna if plu % 2 else also_anna, number, plu, tag, price=1000.0 + plu)
                    for plu in range(1, 21)
                )
            )

        assert sorted(one.status_code for one in answers) == [200] + [412] * 19
        [done] = await made.events(ProductEdited)
        assert done.after == {"price": 1000.0 + int(done.plu)}
        [won] = [one for one in answers if one.status_code == 200]
        assert won.headers["ETag"] == (await cached(anna, number)).headers["ETag"]
