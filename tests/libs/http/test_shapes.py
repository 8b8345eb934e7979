"""Failures in the shapes of each product's clients, byte for byte."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from httpx import AsyncClient
from pydantic import BaseModel, Field

from libs.errors import (
    Forbidden,
    NotFound,
    Refused,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unfit,
)
from libs.http.app import create_app
from libs.http.auth import public
from libs.http.shapes import (
    CODED,
    DETAIL,
    ENVELOPE,
    PROBLEM,
    REDACTED_DETAIL,
    TEXT,
    TRACED,
    ErrorRow,
    ErrorShape,
    ShapedRoute,
    answer,
)
from libs.testing.callers import client_of


class BoxSealed(Refused):
    """A sealed box takes nothing more."""


class BoxOpen(BoxSealed):
    """The box is open."""


SCOPE: Final = {"request_id": "r-1", "path_params": {"box": "7"}}
FAULT: Final = {"type": "missing", "loc": ("body", "code"), "msg": "Field required", "input": "pw"}
INVALID: Final = RequestValidationError([{**FAULT, "ctx": {"a": 1}, "url": "https://x"}])
REDACTED: Final = {"type": "missing", "loc": ["body", "code"], "msg": "Field required"}
BODIES: Final[dict[str, tuple[ErrorShape, Exception, int, Any]]] = {
    "problem, refused": (
        PROBLEM,
        BoxSealed("box 7"),
        409,
        {
            "type": "BoxSealed",
            "title": "A sealed box takes nothing more.",
            "status": 409,
            "detail": "box 7",
            "request_id": "r-1",
        },
    ),
    "problem, invalid": (
        PROBLEM,
        INVALID,
        422,
        {
            "type": "Invalid",
            "title": "The request does not have the agreed form.",
            "status": 422,
            "errors": [REDACTED],
            "request_id": "r-1",
        },
    ),
    "detail, refused": (DETAIL, BoxSealed("box 7"), 409, {"detail": "box 7"}),
    "detail, without a text": (
        DETAIL,
        BoxSealed(),
        409,
        {"detail": "A sealed box takes nothing more."},
    ),
    "detail, invalid": (
        DETAIL,
        INVALID,
        422,
        {"detail": [{**REDACTED, "input": "pw", "ctx": {"a": 1}}]},
    ),
    "redacted, invalid": (
        REDACTED_DETAIL,
        INVALID,
        422,
        {"detail": [{**REDACTED, "input": None, "ctx": {"a": 1}}]},
    ),
    "coded, refused": (CODED, BoxSealed("box 7"), 409, {"detail": "box 7", "code": "BoxSealed"}),
    "coded, invalid": (
        CODED,
        INVALID,
        422,
        {"detail": [{**REDACTED, "input": None, "ctx": {"a": 1}}], "code": "Invalid"},
    ),
    "coded, http": (
        CODED,
        HTTPException(413),
        413,
        {"detail": "Request Entity Too Large", "code": "RequestEntityTooLarge"},
    ),
    "traced, refused": (
        TRACED,
        BoxSealed(),
        409,
        {
            "detail": "A sealed box takes nothing more.",
            "code": "CONFLICT",
            "request_id": "r-1",
        },
    ),
    "traced, invalid": (
        TRACED,
        INVALID,
        422,
        {
            "detail": [{**REDACTED, "input": None}],
            "code": "VALIDATION_ERROR",
            "request_id": "r-1",
        },
    ),
    "traced, http": (
        TRACED,
        HTTPException(400, "short"),
        400,
        {"detail": "short", "code": "BAD_REQUEST", "request_id": "r-1"},
    ),
    "envelope, refused": (
        ENVELOPE,
        Forbidden(),
        403,
        {
            "error": {
                "code": "FORBIDDEN",
                "message": "The caller may not do this.",
                "details": {},
            }
        },
    ),
    "envelope, invalid": (
        ENVELOPE,
        INVALID,
        422,
        {
            "error": {
                "code": "VALIDATION_ERROR",
                "message": "The request does not have the agreed form",
                "details": {"fields": {"code": "Field required"}},
            }
        },
    ),
    "envelope, a status without a code": (
        ENVELOPE,
        HTTPException(405, "Method Not Allowed"),
        405,
        {"detail": "Method Not Allowed"},
    ),
    "text, invalid": (
        TEXT,
        INVALID,
        422,
        {"detail": "Проверьте данные запроса: code", "errors": [REDACTED]},
    ),
    "text, refused": (TEXT, BoxSealed("box 7"), 409, {"detail": "box 7"}),
}


@pytest.mark.parametrize("name", BODIES)
def test_an_exception_has_the_body_of_the_shape(name: str) -> None:
    shape, error, status, body = BODIES[name]

    response = answer(shape, error, SCOPE)

    assert response.status_code == status
    # As text: the order of the fields is part of it.
    assert bytes(response.body).decode() == json.dumps(
        body, ensure_ascii=False, separators=(",", ":")
    )


@pytest.mark.parametrize(
    ("shape", "headers"),
    [
        (DETAIL, {"www-authenticate": "Bearer"}),
        (ENVELOPE, {"www-authenticate": "Bearer"}),
        (TRACED, {"www-authenticate": "Bearer", "cache-control": "no-store"}),
    ],
)
def test_a_missing_login_has_the_headers_of_the_shape(
    shape: ErrorShape, headers: dict[str, str]
) -> None:
    found = dict(answer(shape, Unauthenticated(), SCOPE).headers)

    assert {name: found.get(name) for name in ("www-authenticate", "cache-control")} == {
        "www-authenticate": headers.get("www-authenticate"),
        "cache-control": headers.get("cache-control"),
    }


@pytest.mark.parametrize("shape", [PROBLEM, DETAIL, CODED, TRACED, ENVELOPE, TEXT])
def test_every_shape_says_when_to_try_again(shape: ErrorShape) -> None:
    away = answer(shape, Unavailable(retry_after_seconds=9), SCOPE)
    limited = answer(shape, TooManyRequests(retry_after_seconds=3), SCOPE)

    assert (away.status_code, away.headers["retry-after"]) == (503, "9")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize("shape", [PROBLEM, REDACTED_DETAIL, CODED, TRACED, ENVELOPE, TEXT])
def test_no_other_shape_repeats_what_was_sent(shape: ErrorShape) -> None:
    many = RequestValidationError([{**FAULT, "loc": ("body", n)} for n in range(300)])

    assert b"pw" not in bytes(answer(shape, INVALID, SCOPE).body)
    assert b"pw" not in bytes(answer(shape, many, SCOPE).body)


def test_the_row_of_the_nearest_class_counts() -> None:
    shape = TRACED.with_rows(
        {
            Refused: ErrorRow(400, "NO", "No"),
            BoxSealed: lambda error, scope: ErrorRow(
                410, "SEALED", f"Box {scope['path_params']['box']}: {error}"
            ),
            Unauthenticated: ErrorRow(401, "WHO", "Who?", headers={}),
        }
    )

    found = {
        kind.__name__: (response.status_code, json.loads(bytes(response.body)))
        for kind in (BoxOpen, BoxSealed, NotFound)
        for response in [answer(shape, kind("x"), SCOPE)]
    }

    assert found == {
        "BoxOpen": (410, {"detail": "Box 7: x", "code": "SEALED", "request_id": "r-1"}),
        "BoxSealed": (410, {"detail": "Box 7: x", "code": "SEALED", "request_id": "r-1"}),
        "NotFound": (400, {"detail": "No", "code": "NO", "request_id": "r-1"}),
    }


def test_a_row_without_a_code_has_that_of_its_status() -> None:
    shape = ENVELOPE.with_rows(
        {Unfit: ErrorRow(409, text="Changed meanwhile", details={"diff": {"version": 2}})}
    )

    assert json.loads(bytes(answer(shape, Unfit(), SCOPE).body)) == {
        "error": {
            "code": "CONFLICT",
            "message": "Changed meanwhile",
            "details": {"diff": {"version": 2}},
        }
    }


def test_a_status_may_have_a_text_of_its_own() -> None:
    shape = replace(ENVELOPE, texts={401: "Invalid token"})

    assert json.loads(bytes(answer(shape, Unauthenticated(), SCOPE).body))["error"] == {
        "code": "UNAUTHORIZED",
        "message": "Invalid token",
        "details": {},
    }


class Box(BaseModel):
    code: Annotated[str, Field(max_length=8)]


class BoxRoute(ShapedRoute):
    """Boxes have codes, and are small."""

    shape: ClassVar[ErrorShape | None] = TRACED.with_rows(
        {BoxSealed: ErrorRow(409, "SEALED", "Sealed")}
    )
    max_body_bytes: ClassVar[int] = 100


class SmallRoute(ShapedRoute):
    """Small, in the shape of the app."""

    max_body_bytes: ClassVar[int] = 100


calls: list[str] = []


def app_of(kind: type[ShapedRoute]) -> FastAPI:
    async def counted() -> None:
        calls.append("dependency")

    router = APIRouter(
        prefix="/boxes", route_class=kind, dependencies=[Depends(public), Depends(counted)]
    )

    @router.post("")
    async def create(body: Box, request: Request) -> str:
        if body.code == "sealed":
            raise BoxSealed
        if body.code == "away":
            raise Unavailable
        return str(request.url.path)

    return create_app(
        title="test", routers=[router], deps=None, checks={}, problem_shape=REDACTED_DETAIL
    )


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with client_of(app_of(BoxRoute)) as client:
        yield client


@pytest.mark.parametrize(
    ("code", "status", "named"),
    [("sealed", 409, "SEALED"), ("x" * 9, 422, "VALIDATION_ERROR"), ("x" * 99, 413, "REQUEST_")],
)
async def test_a_route_answers_in_its_own_shape(
    client: AsyncClient, code: str, status: int, named: str
) -> None:
    response = await client.post("/boxes", json={"code": code}, headers={"X-Request-Id": "r-9"})

    assert response.status_code == status
    assert response.json()["code"].startswith(named)
    assert response.json()["request_id"] == "r-9"


async def test_what_no_route_of_the_router_answers_has_the_shape_of_the_app(
    client: AsyncClient,
) -> None:
    away = await client.post("/boxes", json={"code": "away"})
    absent = await client.get("/nowhere")

    assert (away.status_code, list(away.json())) == (503, ["detail"])
    assert (absent.status_code, absent.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("kind", [BoxRoute, SmallRoute])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_longer_body_is_refused_before_anything_else(
    kind: type[ShapedRoute], declared: bool
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"code":'
        yield b" " * 100

    calls.clear()
    async with client_of(app_of(kind)) as client:
        content = b" " * 101 if declared else parts()
        response = await client.post(
            "/boxes", content=content, headers={"Content-Type": "application/json"}
        )

    assert (response.status_code, calls) == (413, [])
    assert ("code" in response.json()) == (kind is BoxRoute)
