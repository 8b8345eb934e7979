"""Fuzzing finds requests that break a route."""

from typing import Annotated

import pytest
from fastapi import FastAPI, Header, Query, Request

from libs.testing.hostile import RouteInputs, assert_no_request_breaks, inputs_of


def make_app() -> FastAPI:
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
    async def body(fields: dict[str, str]) -> int:
        return 1 // (not fields)

    return app


ROUTES = {route.path: route for route in inputs_of(make_app())}


@pytest.mark.parametrize("path", sorted({*ROUTES} - {"/fine/{name}"}))
async def test_a_request_that_breaks_a_route_is_found(path: str) -> None:
    with pytest.raises(AssertionError, match="500 /"):
        await assert_no_request_breaks(make_app(), [ROUTES[path]], lambda _: [], per_route=150)


async def test_a_route_that_handles_everything_passes() -> None:
    fine = ROUTES["/fine/{name}"]
    assert fine == RouteInputs(
        method="GET", path="/fine/{name}", queries=["q"], headers=[], cookies=[]
    )
    assert await assert_no_request_breaks(make_app(), [fine], lambda _: [], per_route=150) > 1
