"""The search for requests that break a route finds those that do."""

from typing import Annotated

import pytest
from fastapi import FastAPI, Header, Query, Request

from libs.testing.hostile import Slots, assert_nothing_breaks, slots_of


def an_app() -> FastAPI:
    # Starlette's own redirects break at a query that is no UTF-8.
    app = FastAPI(redirect_slashes=False)

    @app.get("/fine/{name}")
    async def fine(name: str, q: str = "") -> str:
        return (name + q)[:10]

    @app.get("/query")
    async def query(q: Annotated[str, Query()] = "") -> str:
        return q.encode("ascii").decode()

    @app.get("/path/{name}")
    async def path(name: str) -> int:
        return 1 // (name != "a\0b")

    @app.get("/header")
    async def header(x_note: Annotated[str, Header()] = "") -> int:
        return 1 // (x_note != "[]")

    @app.get("/token")
    async def bearer(request: Request) -> int:
        return 1 // ("." not in request.headers.get("authorization", ""))

    @app.get("/cookie")
    async def cookie(request: Request) -> int:
        return 1 // ("refresh_token" not in request.cookies)

    @app.post("/body")
    async def body(said: dict[str, str]) -> int:
        return 1 // (not said)

    return app


ROUTES = {slots.path: slots for slots in slots_of(an_app())}


@pytest.mark.parametrize("path", sorted({*ROUTES} - {"/fine/{name}"}))
async def test_what_breaks_a_route_is_found(path: str) -> None:
    with pytest.raises(AssertionError, match="500 /"):
        await assert_nothing_breaks(an_app(), [ROUTES[path]], lambda _: [], each=150)


async def test_what_bears_everything_is_left_alone() -> None:
    fine = ROUTES["/fine/{name}"]
    assert fine == Slots(method="GET", path="/fine/{name}", queries=["q"], headers=[], cookies=[])
    assert await assert_nothing_breaks(an_app(), [fine], lambda _: [], each=150) > 1
