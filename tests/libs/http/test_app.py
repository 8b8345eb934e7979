"""The manners every service has."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import pytest
import structlog
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import StreamingResponse
from httpx import ASGITransport, AsyncClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import REGISTRY
from pydantic import BaseModel, Field
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from libs.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
    Unfit,
)
from libs.http.app import create_app
from libs.http.client import trace_headers
from libs.http.shapes import DETAIL
from libs.telemetry import traces
from libs.testing.callers import client_of

TRACE = "0af7651916cd43dd8448eb211c80319c"


class BoxSealed(Refused):
    """A sealed box takes nothing more."""


class BoxNotFound(NotFound):
    """There is no such box."""


class Scan(BaseModel):
    code: str = Field(max_length=8)
    weight: float = Field(default=1, gt=0)


ERRORS: dict[str, Exception] = {
    "refused": BoxSealed(),
    "detailed": BoxSealed("box 7 was sealed at 10:00"),
    "absent": BoxNotFound(),
    "forbidden": Forbidden(),
    "senseless": BadRequest(),
    "unfit": Unfit(),
    "unknown": Unauthenticated(),
    "teapot": HTTPException(418, "short and stout", {"X-Pot": "tea"}),
    "structured": HTTPException(409, {"code": 7}),
    "away": Unavailable(retry_after_seconds=9),
    "lost": ConnectionResetError("10.0.0.7:5432 hunter2"),
    "bug": KeyError("hunter2"),
}


def router() -> APIRouter:
    router = APIRouter(prefix="/boxes")

    @router.get("/fail/{kind}")
    async def fail(kind: str) -> None:
        raise ERRORS[kind]

    @router.get("/broken-stream")
    async def broken_stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one"
            raise KeyError("late")

        return StreamingResponse(parts())

    @router.post("/{box}/scans")
    async def scan(box: str, body: Scan) -> dict[str, Any]:
        structlog.get_logger().info("scanned", box=box)
        return {"box": box, "code": body.code, **trace_headers()}

    @router.post("/upload")
    async def upload(request: Request) -> int:
        return sum([len(part) async for part in request.stream()])

    @router.post("/ignore")
    async def ignore() -> None:
        """Never reads the body."""

    return router


@asynccontextmanager
async def app_of(**changed: Any) -> AsyncIterator[AsyncClient]:
    """A client of an app with the routes above below `/api`, unless something is `changed`."""
    outer = APIRouter(prefix="/api")
    outer.include_router(router())
    given: dict[str, Any] = {"title": "test", "routers": [outer], "deps": None, "checks": {}}
    async with client_of(create_app(**(given | changed))) as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with app_of() as client:
        yield client


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as lines:
        yield lines


SEALED = "A sealed box takes nothing more."
PROBLEMS: dict[str, tuple[int, str, str, str]] = {
    "refused": (409, "BoxSealed", SEALED, ""),
    "detailed": (409, "BoxSealed", SEALED, "box 7 was sealed at 10:00"),
    "absent": (404, "BoxNotFound", "There is no such box.", ""),
    "forbidden": (403, "Forbidden", "The caller may not do this.", ""),
    "senseless": (400, "BadRequest", "The request makes no sense as things are.", ""),
    "unfit": (422, "Unfit", "The request contains data that cannot be stored.", ""),
    "unknown": (401, "Unauthenticated", "The caller is not authenticated.", ""),
    "teapot": (418, "ImATeapot", "I'm a Teapot", "short and stout"),
    "bug": (500, "InternalError", "Something went wrong on our side.", ""),
}


@pytest.mark.parametrize("kind", PROBLEMS)
async def test_a_failure_is_answered_as_a_problem(client: AsyncClient, kind: str) -> None:
    answer = await client.get(f"/api/boxes/fail/{kind}", headers={"X-Request-Id": "r-1"})

    status, type_, title, detail = PROBLEMS[kind]
    problem = {"type": type_, "title": title, "status": status, "request_id": "r-1"}
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == (problem | {"detail": detail} if detail else problem)
    assert answer.headers.get("x-pot") == ("tea" if kind == "teapot" else None)
    assert answer.headers.get("www-authenticate") == ("Bearer" if kind == "unknown" else None)


@pytest.mark.parametrize(("kind", "seconds"), [("away", "9"), ("lost", "2")])
async def test_a_missing_database_is_a_503_with_retry_after(
    client: AsyncClient, logged: list[Any], kind: str, seconds: str
) -> None:
    answer = await client.get(f"/api/boxes/fail/{kind}")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == seconds
    assert answer.json()["type"] == "Unavailable"
    assert "hunter2" not in answer.text
    assert [line["event"] for line in logged] == ["unavailable"]


async def test_a_bug_is_logged_once_with_its_request_and_not_revealed(
    client: AsyncClient, logged: list[Any]
) -> None:
    answer = await client.get("/api/boxes/fail/bug", headers={"X-Request-Id": "r-2"})

    assert "hunter2" not in answer.text
    (line,) = logged
    assert (line["event"], line["request_id"]) == ("request failed", "r-2")
    assert line["route"] == "/api/boxes/fail/{kind}"
    assert line["exc_info"]


async def test_an_answer_that_breaks_off_is_not_disguised_as_complete(logged: list[Any]) -> None:
    app = create_app(title="test", routers=[router()], deps=None, checks={})
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        with pytest.raises(KeyError):
            await client.get("/boxes/broken-stream")

    assert [line["event"] for line in logged] == ["request failed"]


async def test_invalid_input_is_listed_without_repeating_it(client: AsyncClient) -> None:
    answer = await client.post("/api/boxes/7/scans", json={"code": "hunter2hunter2", "weight": 0})

    problem = answer.json()
    assert answer.status_code == 422
    assert problem["type"] == "Invalid"
    assert [fault["loc"] for fault in problem["errors"]] == [["body", "code"], ["body", "weight"]]
    assert "hunter2" not in answer.text


async def test_an_app_may_answer_problems_in_another_shape() -> None:
    async with app_of(problem_shape=DETAIL) as client:
        invalid = await client.post("/api/boxes/7/scans", json={"code": "123456789"})
        known = {
            path: await client.get(path, headers={"X-Request-Id": "r-3"})
            for path in ("/nowhere", *(f"/api/boxes/fail/{kind}" for kind in ERRORS))
        }

    fault = {
        "type": "string_too_long",
        "loc": ["body", "code"],
        "msg": "String should have at most 8 characters",
        "input": "123456789",
        "ctx": {"max_length": 8},
    }
    assert (invalid.status_code, invalid.json()) == (422, {"detail": [fault]})
    for path, status, detail in (
        ("/api/boxes/fail/detailed", 409, "box 7 was sealed at 10:00"),
        ("/api/boxes/fail/structured", 409, {"code": 7}),
        ("/api/boxes/fail/bug", 500, "Something went wrong on our side."),
        ("/nowhere", 404, "Not Found"),
    ):
        assert (known[path].status_code, known[path].json()) == (status, {"detail": detail})
        assert known[path].headers["content-type"] == "application/json"
        assert known[path].headers["x-request-id"] == "r-3"


@pytest.mark.parametrize(
    "body",
    [
        rb'{"code": "\ud800\ud800\ud800\ud800\ud800\ud800\ud800\ud800\ud800"}',
        b'{"code": "a", "weight": NaN}',
        b'{"code": "a", "weight": -Infinity}',
        b'{"code": ' + b"9" * 4000 + b"}",
        b'{"code": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"code": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"code": "\xff"}',
        b'{"code": ',
        b"null",
        b"",
    ],
)
@pytest.mark.parametrize("shape", [None, DETAIL])
async def test_hostile_json_gets_an_answer_that_is_json(body: bytes, shape: Any) -> None:
    async with app_of(**({"problem_shape": shape} if shape else {})) as client:
        answer = await client.post(
            "/api/boxes/7/scans", content=body, headers={"content-type": "application/json"}
        )

    assert answer.status_code in (400, 422)
    json.loads(answer.content.decode("utf-8"), parse_constant=pytest.fail)


@pytest.mark.parametrize("name", ["A.b_c-1", "a" * 128], ids=["short", "longest"])
async def test_a_valid_request_id_is_kept_and_reaches_the_log(
    client: AsyncClient, logged: list[Any], name: str
) -> None:
    answer = await client.post(
        "/api/boxes/7/scans", json={"code": "a"}, headers={"X-Request-Id": name}
    )

    assert answer.headers["x-request-id"] == name
    assert re.fullmatch(r"\d+\.\d\dms", answer.headers["x-process-time"])
    assert answer.json()["X-Request-Id"] == name
    assert logged == [{"event": "scanned", "box": "7", "request_id": name, "log_level": "info"}]


@pytest.mark.parametrize("given", [None, "", "a" * 129, "a b", "x\ty", "ё".encode(), "{}"])
async def test_any_other_request_id_is_replaced_by_a_new_one(
    client: AsyncClient, given: str | bytes | None
) -> None:
    headers: Any = {} if given is None else {"X-Request-Id": given}

    answer = await client.get("/health", headers=headers)

    assert UUID(answer.headers["x-request-id"]).version == 7
    assert "request_id" not in structlog.contextvars.get_contextvars()


async def test_the_trace_goes_through_the_request() -> None:
    exporter = InMemorySpanExporter()
    telemetry = traces.set_up("test", exporter=exporter)
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    async with app_of(telemetry=telemetry) as client:
        answer = await client.post(
            "/api/boxes/7/scans", json={"code": "a"}, headers={"traceparent": parent}
        )
        await client.get("/api/boxes/fail/bug")

    good, bad = exporter.get_finished_spans()
    assert answer.json()["traceparent"] == f"00-{TRACE}-{good.context.span_id:016x}-01"
    assert good.parent is not None
    assert good.parent.span_id == 0xB7AD6B7169203331
    assert good.name == "POST /api/boxes/{box}/scans"
    assert good.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/boxes/{box}/scans",
        "http.response.status_code": 200,
    }
    assert bad.status.status_code == StatusCode.ERROR


def counted(**labels: str) -> float:
    found = REGISTRY.get_sample_value("tillstream_http_requests_total", labels)
    return found or 0


async def test_requests_are_counted_by_the_template_of_their_path() -> None:
    route = "/api/boxes/{box}/scans"
    async with app_of(title="counted") as client:
        for box in ("1", "2"):
            await client.post(f"/api/boxes/{box}/scans", json={"code": "a"})
        await client.post("/api/boxes/1/scans", json={})
        await client.get("/nowhere/1")
        await client.get("/nowhere/2")
        await client.request("BREW", "/nowhere/3")
        metrics = await client.get("/metrics")

    assert counted(service="counted", method="POST", route=route, status="200") == 2
    assert counted(service="counted", method="POST", route=route, status="422") == 1
    assert counted(service="counted", method="GET", route="unmatched", status="404") == 2
    assert counted(service="counted", method="OTHER", route="unmatched", status="404") == 1
    assert 'tillstream_build_info{python="' in metrics.text
    assert "tillstream_http_request_duration_seconds_bucket" in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain")


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size):
        yield b"x" * 10


async def test_a_body_may_be_as_long_as_the_limit_and_no_longer() -> None:
    async with app_of(max_body_bytes=100) as client:
        declared = await client.post("/api/boxes/upload", content=b"x" * 100)
        streamed = await client.post("/api/boxes/upload", content=in_pieces(10))
        too_long = await client.post("/api/boxes/upload", content=b"x" * 101)
        too_long_streamed = await client.post("/api/boxes/upload", content=in_pieces(11))
        too_long_json = await client.post("/api/boxes/7/scans", json={"code": "x" * 100})
        unread = await client.post("/api/boxes/ignore", content=b"x" * 101)

    assert (declared.json(), streamed.json()) == (100, 100)
    for answer in (too_long, too_long_streamed, too_long_json, unread):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"]


async def test_outer_middlewares_see_every_answer() -> None:
    cors = Middleware(CORSMiddleware, allow_origins=["*"])
    async with app_of(outer=[cors], max_body_bytes=10) as client:
        headers = {"Origin": "http://pwa"}
        answers = [
            await client.get("/api/boxes/fail/bug", headers=headers),
            await client.get("/nowhere", headers=headers),
            await client.post("/api/boxes/upload", content=b"x" * 11, headers=headers),
        ]

    assert [answer.status_code for answer in answers] == [500, 404, 413]
    assert all(answer.headers["access-control-allow-origin"] == "*" for answer in answers)


async def test_documentation_can_be_left_out() -> None:
    async with app_of() as client:
        assert (await client.get("/docs")).status_code == 200
    async with app_of(docs=False) as client:
        assert (await client.get("/docs")).status_code == 404
        assert (await client.get("/openapi.json")).status_code == 404
        document = (await client.get("/internal/openapi.json")).json()
        assert "/api/boxes/fail/{kind}" in document["paths"]
        assert not any(path.startswith(("/internal", "/health")) for path in document["paths"])
    async with app_of(docs=False, published=False) as client:
        assert (await client.get("/internal/openapi.json")).status_code == 404


async def test_handlers_find_the_dependencies_of_the_service() -> None:
    holder = APIRouter()

    def held(request: Request) -> Any:
        return request.app.state.deps

    @holder.get("/held")
    async def show(deps: Annotated[Any, Depends(held)]) -> Any:
        return deps

    async with app_of(routers=[holder], deps={"a": 1}) as client:
        assert (await client.get("/held")).json() == {"a": 1}
