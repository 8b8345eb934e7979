"""The styles of paging: what a client may send, and which part of a list it gets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import pytest
from fastapi import APIRouter, Depends, Request, Response
from httpx import AsyncClient
from hypothesis import given
from hypothesis import strategies as st

from libs.http import paging
from libs.http.app import create_app
from libs.http.auth import public
from libs.http.paging import Slice
from libs.testing.callers import client_of

ITEMS: Final = list(range(45))


def router() -> APIRouter:
    router = APIRouter(dependencies=[Depends(public)])

    @router.get("/numbered")
    async def numbered(page: Annotated[Slice, paging.by_number(limit=20, most=100)]) -> Any:
        return page.numbered(_part(page), len(ITEMS))

    @router.get("/skipped")
    async def skipped(page: Annotated[Slice, paging.by_skip(limit=20, most=100)]) -> Any:
        return {"items": _part(page), "total": len(ITEMS)}

    @router.get("/both")
    async def both(
        page: Annotated[Slice, paging.by_skip(limit=20, most=100, numbered=True)],
    ) -> Any:
        return {"items": _part(page), "total": len(ITEMS)}

    @router.get("/offset")
    async def offset(page: Annotated[Slice, paging.by_offset(limit=20, most=100)]) -> Any:
        return _part(page)

    @router.get("/linked")
    async def linked(
        request: Request, response: Response, limit: int = 20, cursor: paging.Cursor = None
    ) -> Any:
        after = int(paging.text(cursor) or -1)
        items = [item for item in ITEMS if item > after][: limit + 1]
        return paging.linked(request, response, items, limit, lambda item: (item,))

    return router


def _part(page: Slice) -> list[int]:
    return ITEMS[page.offset : page.offset + page.limit]


@asynccontextmanager
async def open_client() -> AsyncIterator[AsyncClient]:
    app = create_app(title="test", routers=[router()], deps=None, checks={})
    async with client_of(app) as client:
        yield client


@pytest.mark.parametrize(
    ("query", "items", "page", "pages"),
    [
        ("", ITEMS[:20], 1, 3),
        ("page=3", ITEMS[40:], 3, 3),
        ("page=9&limit=10", [], 9, 5),
        ("limit=45", ITEMS, 1, 1),
    ],
)
async def test_a_numbered_page_says_where_it_is(
    query: str, items: list[int], page: int, pages: int
) -> None:
    async with open_client() as client:
        answer = (await client.get(f"/numbered?{query}")).json()

    assert (answer["items"], answer["page"], answer["pages"]) == (items, page, pages)
    assert (answer["total"], list(answer)) == (45, ["items", "page", "limit", "total", "pages"])


@pytest.mark.parametrize(
    ("path", "items"),
    [
        ("/skipped", ITEMS[:20]),
        ("/skipped?skip=40&limit=3", ITEMS[40:43]),
        ("/both?skip=5", ITEMS[5:25]),
        ("/both?skip=5&page=2&limit=10", ITEMS[10:20]),
    ],
)
async def test_entries_are_skipped_unless_a_page_is_named(path: str, items: list[int]) -> None:
    async with open_client() as client:
        assert (await client.get(path)).json() == {"items": items, "total": 45}


async def test_an_offset_leads_into_the_list() -> None:
    async with open_client() as client:
        assert (await client.get("/offset?limit=2&offset=7")).json() == [7, 8]


@pytest.mark.parametrize(
    "path",
    [
        *(f"/numbered?{query}" for query in ("page=0", "limit=0", "limit=101", "page=x")),
        *(f"/skipped?{query}" for query in ("skip=-1", "limit=0", "limit=101")),
        *("/both?page=0", "/offset?offset=-1", "/offset?limit=101", "/offset?offset=99999999999"),
    ],
)
async def test_what_is_out_of_bounds_is_refused(path: str) -> None:
    async with open_client() as client:
        assert (await client.get(path)).status_code == 422


@given(total=st.integers(0, 500), limit=st.integers(1, 100))
def test_the_pages_of_a_list_are_as_many_as_hold_entries(total: int, limit: int) -> None:
    slices = [Slice(limit, start) for start in range(0, max(total, 1), limit)]

    answers = [
        one.numbered(range(one.offset, min(one.offset + limit, total)), total) for one in slices
    ]

    assert [item for one in answers for item in one["items"]] == list(range(total))
    assert {one["pages"] for one in answers} == {len(slices) if total else 0}
    assert [one["page"] for one in answers] == list(range(1, len(slices) + 1))


@pytest.mark.parametrize("limit", [1, 7, 44, 45, 46])
async def test_links_lead_through_the_whole_list_once(limit: int) -> None:
    seen, path = [], f"/linked?limit={limit}&note=%26"
    async with open_client() as client:
        while True:
            answer = await client.get(path)
            seen += answer.json()
            if "next" not in answer.links:
                break
            path = f"/linked{answer.links['next']['url']}"
            assert path.startswith(f"/linked?limit={limit}&note=%26&cursor=")

    assert seen == ITEMS


@pytest.mark.parametrize("cursor", ["x", "eA", "WyJhIiwiYiJd", "W10", "é"])
async def test_a_cursor_that_no_answer_gave_is_refused(cursor: str) -> None:
    async with open_client() as client:
        assert (await client.get("/linked", params={"cursor": cursor})).status_code == 422
