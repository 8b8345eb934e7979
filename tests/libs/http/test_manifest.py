"""A service says once how its routes are reached; the gateway reads it."""

import json
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, WebSocket

from libs.http.auth import Principal, public, require, require_kind
from libs.http.manifest import (
    WEBSOCKET,
    PublishedRoute,
    encoded,
    manifest,
    traffic,
    unpublished,
)

router = APIRouter(prefix="/loaves")


@router.get("")
async def loaves(caller: Annotated[Principal, Depends(require("bread:read"))]) -> None: ...


@router.post("/{loaf_id}/toast")
@traffic("toaster", slow=True)
async def toast(
    loaf_id: int, caller: Annotated[Principal, Depends(require("bread:write"))]
) -> None: ...


@router.get("/opening-hours", dependencies=[Depends(public)])
@traffic("none")
async def opening_hours() -> None: ...


@router.websocket("/smell")
async def smell(
    socket: WebSocket, caller: Annotated[Principal, Depends(require("bread:read"))]
) -> None: ...


@router.get("/oven", dependencies=[Depends(public)])
@unpublished
async def oven() -> None: ...


LISTED = [
    PublishedRoute(method="GET", path="/loaves", scope="bread:read", limit="dashboard"),
    PublishedRoute(
        method="POST",
        path="/loaves/{}/toast",
        scope="bread:write",
        limit="toaster",
        slow=True,
    ),
    PublishedRoute(method="GET", path="/loaves/opening-hours", scope=None, limit="none"),
    PublishedRoute(method=WEBSOCKET, path="/loaves/smell", scope="bread:read", limit="dashboard"),
]


def test_a_manifest_lists_the_published_routes_in_their_order() -> None:
    assert manifest([router]) == LISTED


def test_the_file_of_a_manifest_has_a_line_for_each_route() -> None:
    text = encoded(LISTED)

    assert len(text.splitlines()) == len(LISTED) + 2
    assert [PublishedRoute(**route) for route in json.loads(text)] == LISTED


def test_a_route_that_demands_something_else_than_a_scope_is_not_published() -> None:
    other = APIRouter()

    @other.get("/me")
    async def me(caller: Annotated[Principal, Depends(require_kind("shop"))]) -> None: ...

    with pytest.raises(TypeError, match="/me demands something other than a scope"):
        manifest([other])


def test_a_route_that_does_not_say_who_may_use_it_is_not_published() -> None:
    other = APIRouter()

    @other.get("/till")
    async def till() -> None: ...

    with pytest.raises(TypeError, match="/till declares no access"):
        manifest([other])


@pytest.mark.parametrize("declare", [traffic("none"), unpublished], ids=["traffic", "unpublished"])
def test_a_route_cannot_be_published_and_unpublished(declare: Any) -> None:
    @unpublished
    async def oven() -> None: ...

    with pytest.raises(TypeError, match="oven has its traffic declared already"):
        declare(oven)


def test_the_routes_of_a_router_in_a_router_are_published_with_what_both_demand() -> None:
    inner, outer = APIRouter(), APIRouter(prefix="/shelf")

    @inner.get("/{place}", dependencies=[Depends(public)])
    async def place(place: int) -> None: ...

    @inner.websocket("/smell", dependencies=[Depends(public)])
    async def smell(socket: WebSocket) -> None: ...

    outer.include_router(inner, prefix="/upper", dependencies=[Depends(require("bread:read"))])

    assert [(route.method, route.path, route.scope) for route in manifest([outer])] == [
        ("GET", "/shelf/upper/{}", "bread:read"),
        (WEBSOCKET, "/shelf/upper/smell", "bread:read"),
    ]
