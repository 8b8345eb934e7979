"""A lean route answers as an ordinary one does, and is one to everything that lists routes."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
import structlog
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from httpx import ASGITransport, AsyncClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from starlette.requests import ClientDisconnect

from libs.errors import Forbidden, NotFound, TooManyRequests, Unavailable
from libs.http.app import create_app
from libs.http.auth import Principal, public, require
from libs.http.lean_route import LeanRoute, LeanRoutes, lean_routes_of
from libs.http.shapes import DETAIL, PROBLEM
from libs.http.undeclared import required_access, undeclared_routes
from libs.telemetry import traces
from libs.testing.callers import bearer, client_of, verifier

AUDIENCE = "test"
PATH = "/api/boxes"
KINDS = (APIRoute, LeanRoute)

ERRORS: dict[str, Exception] = {
    "absent": NotFound("box 7"),
    "forbidden": Forbidden(),
    "often": TooManyRequests(retry_after_seconds=3),
    "teapot": HTTPException(418, "short and stout", {"X-Pot": "tea"}),
    "structured": HTTPException(422, [{"type": "bad", "loc": ["body"], "msg": "no", "input": 1}]),
    "away": Unavailable(retry_after_seconds=9),
    "lost": ConnectionResetError("10.0.0.7:5432 hunter2"),
    "gone": ClientDisconnect(),
    "bug": KeyError("hunter2"),
}


class Deps:
    verifier = verifier(AUDIENCE)


async def held(request: Request) -> Any:
    return request.app.state.deps


Caller = Annotated[Principal, Depends(require("box:write"))]


def router(kind: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix=PATH, route_class=kind)

    @router.post("", name="made", openapi_extra={"requestBody": {"required": True, "content": {}}})
    async def make(request: Request, deps: Annotated[Any, Depends(held)], caller: Caller) -> Any:
        """Make a box."""
        body = await request.body()
        if error := ERRORS.get(body.decode()):
            raise error
        assert isinstance(deps, Deps)
        structlog.get_logger().info("made")
        return Response(body, 201, headers={"X-By": caller.subject}, media_type="text/box")

    @router.get("/stream", dependencies=[Depends(public)])
    async def stream() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one"
            raise NotFound

        return StreamingResponse(parts())

    return router


def app_of(kind: type[APIRoute], **changed: Any) -> FastAPI:
    given: dict[str, Any] = {"title": kind.__name__, "deps": Deps(), "checks": {}}
    return create_app(**(given | {"routers": [router(kind)], "max_body_bytes": 50} | changed))


def token(*scopes: str) -> dict[str, str]:
    return bearer(AUDIENCE, subject="anna", scopes=scopes)


GOOD = token("box:write")
REQUESTS: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "good": ("POST", PATH, GOOD, b"seven"),
    "no token": ("POST", PATH, {}, b"seven"),
    "a token of nobody": ("POST", PATH, {"Authorization": "Bearer x"}, b"seven"),
    "no permission": ("POST", PATH, token("box:read"), b"seven"),
    "too long": ("POST", PATH, GOOD, b"x" * 51),
    "no such method": ("PUT", PATH, GOOD, b""),
    "options": ("OPTIONS", PATH, {}, b""),
    "with a slash": ("POST", PATH + "/", GOOD, b"seven"),
    "elsewhere": ("POST", PATH + "/7", GOOD, b"seven"),
    "head": ("HEAD", PATH, {}, b""),
    **{name: ("POST", PATH, GOOD, name.encode()) for name in ERRORS},
}


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as lines:
        yield lines


@pytest.mark.parametrize("shape", [PROBLEM, DETAIL])
@pytest.mark.parametrize("name", REQUESTS)
async def test_a_lean_route_answers_logs_and_counts_as_an_ordinary_one(
    name: str, shape: Any, logged: list[Any]
) -> None:
    method, path, headers, body = REQUESTS[name]
    headers = {**headers, "X-Request-Id": "r-1"}
    seen = []
    for kind in KINDS:
        logged.clear()
        async with client_of(app_of(kind, problem_shape=shape)) as client:
            answer = await client.request(method, path, headers=headers, content=body)
        answered = dict(answer.headers)
        assert answered.pop("x-process-time").endswith("ms")
        lines = [{**line, "exc_info": bool(line.get("exc_info"))} for line in logged]
        labels = {"service": kind.__name__, "method": method, "status": str(answer.status_code)}
        counted = [
            one.labels["route"]
            for metric in REGISTRY.collect()
            for one in metric.samples
            if one.name == "tillstream_http_requests_total" and labels.items() <= one.labels.items()
        ]
        seen.append((answer.status_code, answered, answer.content, lines, sorted(counted)))

    assert seen[0] == seen[1]
    assert seen[1][1]["x-request-id"] == "r-1"
    assert "hunter2" not in seen[1][2].decode()


@pytest.mark.parametrize(
    ("ends", "status"),
    [({"type": "http.request", "body": b"ven"}, 201), ({"type": "http.disconnect"}, 400)],
)
async def test_a_body_in_parts_is_read_to_its_end(ends: dict[str, Any], status: int) -> None:
    answers = []
    for kind in KINDS:
        messages = iter([{"type": "http.request", "body": b"se", "more_body": True}, ends])
        scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b""}
        named = {**GOOD, "X-Request-Id": "r-1"}
        headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        sent: list[Any] = []

        async def receive(messages: Iterator[dict[str, Any]] = messages) -> Any:
            return next(messages)

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        await app_of(kind)({**scope, "headers": headers}, receive, send)
        answers.append((sent[0]["status"], sent[1]["body"]))

    assert answers[0] == answers[1]
    assert answers[1][0] == status


async def test_the_span_of_a_lean_route_is_that_of_an_ordinary_one() -> None:
    spans = []
    for kind in KINDS:
        exporter = InMemorySpanExporter()
        telemetry = traces.set_up("test", exporter=exporter)
        async with client_of(app_of(kind, telemetry=telemetry)) as client:
            for body in (b"seven", b"bug"):
                await client.post(PATH, content=body, headers=GOOD)
        spans.append(
            [
                (one.name, one.attributes, one.status.status_code)
                for one in exporter.get_finished_spans()
            ]
        )

    assert spans[0] == spans[1]
    assert spans[1][0][0] == f"POST {PATH}"


async def test_a_lean_answer_that_breaks_off_is_not_disguised_as_complete() -> None:
    async with AsyncClient(transport=ASGITransport(app_of(LeanRoute))) as client:
        with pytest.raises(NotFound):
            await client.get(f"http://test{PATH}/stream")


def test_a_lean_route_is_listed_with_its_permission_and_its_documents() -> None:
    lean, plain = app_of(LeanRoute), app_of(APIRoute)

    assert undeclared_routes(lean) == []
    assert lean.openapi()["paths"] == plain.openapi()["paths"]
    router, stream = lean_routes_of(lean.routes)
    assert required_access(router) == router.dependant.dependencies[1].call
    assert required_access(stream) is None


async def test_only_requests_for_ordinary_routes_reach_the_app() -> None:
    """If FastAPI answered, the saving would be gone without anybody noticing."""
    passed: list[str] = []

    async def otherwise(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])
        await Response(status_code=404)(scope, receive, send)

    lean = LeanRoutes(otherwise, routes=lean_routes_of(app_of(LeanRoute).routes), shape=PROBLEM)
    async with AsyncClient(transport=ASGITransport(lean), base_url="http://test") as client:
        await client.get(f"{PATH}/stream/")
        await client.get(PATH)
        with pytest.raises(NotFound):
            await client.get(f"{PATH}/stream")

    assert passed == [f"{PATH}/stream/", PATH]


async def of_a_body(body: dict[str, Any]) -> Any: ...


async def of_a_query(size: int) -> Any: ...


async def of_the_response(response: Response) -> Any: ...


async def passed_on(deps: Annotated[Any, Depends(held)]) -> Any: ...


async def of_a_dependency_of_another(it: Annotated[Any, Depends(passed_on)]) -> Any: ...


def in_a_thread(request: Request) -> Any: ...


async def of_a_thread(it: Annotated[Any, Depends(in_a_thread)]) -> Any: ...


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/x", of_a_body),
        ("/x", of_a_query),
        ("/x", of_the_response),
        ("/x", of_a_dependency_of_another),
        ("/x", in_a_thread),
        ("/x", of_a_thread),
        ("/{size}", of_a_query),
    ],
)
def test_a_route_that_needs_more_than_the_request_is_no_lean_one(path: str, endpoint: Any) -> None:
    with pytest.raises(TypeError):
        APIRouter(route_class=LeanRoute).add_api_route(path, endpoint, response_model=None)
