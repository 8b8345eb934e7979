"""Long lists are told in pages, which go on where the last one ended whatever came since."""

import re
from typing import Any
from urllib.parse import parse_qs

import pytest
from httpx import AsyncClient

from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import fetched, patch, registered, working

NEXT = re.compile(r'<(\?[^>]+)>; rel="next"')


async def page(client: AsyncClient, path: str, query: str) -> tuple[Any, str | None]:
    """What is on a page, and how the next one is asked for."""
    answer = await client.get(path + query)
    assert answer.status_code == 200, answer.text
    found = NEXT.fullmatch(answer.headers.get("Link", ""))
    assert (found is None) == ("Link" not in answer.headers)
    return answer.json(), found and found[1]


async def pages(client: AsyncClient, path: str, query: str) -> list[Any]:
    """All pages, one after the other."""
    found: list[Any] = []
    next_: str | None = query
    while next_ is not None:
        told, next_ = await page(client, path, next_)
        found.append(told)
    return found


async def test_operations_are_told_page_after_page(database: str) -> None:
    async with a_scale(2) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        for _ in range(5):
            assert (await anna.post(f"/devices/{number}/probe")).status_code == 200
        path = f"/devices/{number}/operations"
        whole, more = await page(anna, path, "")
        first, next_ = await page(anna, path, "?limit=2")
        # What comes meanwhile moves nothing from one page to another.
        await anna.post(f"/devices/{number}/probe")
        assert next_ is not None
        rest = await pages(anna, path, next_)
        skipped, _ = await page(anna, path, "?limit=2&offset=5")

        assert more is None
        assert [len(part) for part in rest] == [2, 1]
        assert [*first, *rest[0], *rest[1]] == whole
        assert skipped == whole[4:]


async def test_what_was_shown_is_told_page_after_page(database: str) -> None:
    async with a_scale(2) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        for price in (11, 12, 13, 14):
            await patch(anna, number, 2, price=price)
            assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        path = f"/devices/{number}/shown/history"
        whole, more = await page(anna, path, "?plu=2")
        parts = await pages(anna, path, "?plu=2&limit=2")

        assert more is None
        assert [one["shown"]["price"] for one in whole][:4] == [14, 13, 12, 11]
        assert [len(part) for part in parts] == [2, 2, 1]
        assert [one for part in parts for one in part] == whole


async def test_drift_is_told_page_after_page(database: str) -> None:
    async with a_scale(12) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        for plu in range(1, 13):
            await patch(anna, number, plu, price=5000.0 + plu)
        path = f"/devices/{number}/drift"
        whole, more = await page(anna, path, "")
        parts = await pages(anna, path, "?limit=5")
        none, _ = await page(anna, path, "?limit=0")

        assert more is None
        assert {part["count"] for part in (whole, none, *parts)} == {12}
        assert none["products"] == []
        assert [len(part["products"]) for part in parts] == [5, 5, 2]
        assert [one for part in parts for one in part["products"]] == whole["products"]
        assert [one["plu"] for one in whole["products"]] == [str(plu) for plu in range(1, 13)]


async def test_the_next_page_is_asked_for_as_the_last_one_was(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        for plu in (1, 2):
            await patch(anna, number, plu, price=9999.0)
        _, next_ = await page(anna, f"/devices/{number}/drift", "?limit=1&other=a%26b")

        assert next_ is not None
        asked = parse_qs(next_[1:])
        assert (asked["limit"], asked["other"], len(asked["cursor"])) == (["1"], ["a&b"], 1)


LISTS = {"operations?": 500, "shown/history?plu=1&": 1000, "drift?": 20_000}
"""The most that may be on a page."""
NO_CURSORS = (
    "",
    "x",
    "!!!!",
    "é",
    "WyJhIiwiYiIsImMiXQ",  # three parts
    "WzEsMl0",  # two numbers
    "WyIyMDI2LTAxLTAxIiwiMSJd",  # no id
    "WyJcdTAwMDAiXQ",  # a PLU that no database has
    "eyJhIjoxfQ",  # an object
    "x" * 5000,
)


@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_that_no_answer_gave_is_422(database: str, path: str) -> None:
    async with a_scale(1) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        for cursor in NO_CURSORS:
            answer = await anna.get(f"/devices/{number}/{path}cursor={cursor}")
            assert answer.status_code == 422, cursor


@pytest.mark.parametrize("path", LISTS)
async def test_no_page_is_larger_than_sensible(database: str, path: str) -> None:
    async with a_scale(1) as scale, working(database) as made, made.client() as anna:
        number, most = await registered(anna, scale), LISTS[path]
        for limit, status in ((most, 200), (most + 1, 422), (-1, 422)):
            answer = await anna.get(f"/devices/{number}/{path}limit={limit}")
            assert answer.status_code == status
