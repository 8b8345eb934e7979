"""A slash at the end of a path makes no difference, and is never the reason of a redirect."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from httpx import AsyncClient

from libs.http.app import create_app
from libs.http.auth import public
from libs.testing.callers import client_of

OPEN = [Depends(public)]


def app_of(**given: Any) -> FastAPI:
    """An app with routes of both spellings, of its own and of included routers."""
    router = APIRouter(prefix="/api", dependencies=OPEN)
    users = APIRouter(prefix="/users")

    @users.get("/")
    async def listed(page: int = 1) -> str:
        return f"page {page}"

    @users.post("")
    async def created(body: dict[str, str]) -> dict[str, str]:
        return body

    @users.get("/me")
    async def me() -> str:
        return "me"

    @users.get("/{name}")
    async def one(name: str) -> str:
        return f"one {name}"

    @users.put("/{name}/password/")
    async def password(name: str) -> str:
        return f"password of {name}"

    @router.get("/files/{rest:path}")
    async def files(rest: str) -> str:
        return f"file {rest}"

    @router.get("/")
    async def root() -> str:
        return "root"

    outer = APIRouter()
    router.include_router(users)
    outer.include_router(router)
    return create_app(title="test", routers=[outer], deps=None, checks={}, **given)


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with client_of(app_of()) as client:
        yield client


@pytest.mark.parametrize("slash", ["", "/"])
async def test_both_spellings_are_answered_alike(client: AsyncClient, slash: str) -> None:
    answers = {
        "listed": await client.get(f"/api/users{slash}?page=2"),
        "literal": await client.get(f"/api/users/me{slash}"),
        "parameter": await client.get(f"/api/users/Ан%20на{slash}"),
        "behind a parameter": await client.put(f"/api/users/anna/password{slash}"),
        "the app's own": await client.get(f"/health{slash}"),
        "the root of a router": await client.get(f"/api{slash}"),
    }

    assert {name: (one.status_code, one.json()) for name, one in answers.items()} == {
        "listed": (200, "page 2"),
        "literal": (200, "me"),
        "parameter": (200, "one Ан на"),
        "behind a parameter": (200, "password of anna"),
        "the app's own": (200, {"status": "healthy"}),
        "the root of a router": (200, "root"),
    }


@pytest.mark.parametrize("slash", ["", "/"])
async def test_methods_of_both_spellings_are_found_at_either(
    client: AsyncClient, slash: str
) -> None:
    created = await client.post(f"/api/users{slash}", json={"name": "anna"})
    refused = await client.delete(f"/api/users{slash}")

    assert created.json() == {"name": "anna"}
    assert refused.status_code == 405


@pytest.mark.parametrize("path", ["/api/users//", "/nowhere", "/nowhere/", "/api//users"])
async def test_other_paths_stay_unknown(client: AsyncClient, path: str) -> None:
    assert (await client.get(f"http://service{path}")).status_code == 404


@pytest.mark.parametrize("path", ["a/b", "a/b/", ""])
async def test_a_parameter_that_takes_slashes_takes_the_last_one_too(
    client: AsyncClient, path: str
) -> None:
    assert (await client.get(f"/api/files/{path}")).json() == f"file {path}"


async def test_the_document_has_each_path_once_as_declared() -> None:
    assert sorted(app_of().openapi()["paths"]) == [
        *("/api/", "/api/files/{rest}", "/api/users", "/api/users/"),
        *("/api/users/me", "/api/users/{name}", "/api/users/{name}/password/"),
    ]


async def test_a_longer_body_is_accepted_at_both_spellings() -> None:
    app = app_of(max_body_bytes=10, longer_bodies={"/api/users": 100})
    async with client_of(app) as client:
        answers = [
            (await client.post(f"/api/users{slash}", json={"name": "x" * size})).status_code
            for slash in ("", "/")
            for size in (50, 100)
        ]

    assert answers == [200, 413, 200, 413]


async def test_a_longer_body_is_accepted_behind_a_parameter() -> None:
    app = app_of(max_body_bytes=10, longer_bodies={"/api/users/{name}/password": 100})
    async with client_of(app) as client:
        answers = [
            (await client.put(f"/api/users/{name}/password/", content="x" * size)).status_code
            for name in ("anna", "boris/password")
            for size in (5, 50, 150)
        ]

    assert answers == [200, 200, 413, 404, 413, 413]


async def test_an_app_is_built_twice_of_the_same_routers() -> None:
    router = APIRouter(prefix="/boxes", dependencies=OPEN)

    @router.get("/{box}")
    async def one(box: str) -> str:
        return box

    for _ in range(2):
        app = create_app(title="test", routers=[router], deps=None, checks={})
        async with client_of(app) as client:
            answers = [(await client.get(f"/boxes/7{slash}")).json() for slash in ("", "/")]
        assert answers == ["7", "7"]
