"""What clients may read about the doors: documents of two parts, and pages that run nothing."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import web
from httpx import AsyncClient

from services.gateway.doors.domain.door import AuthScheme, Door, Limit, Rule, Shape
from services.gateway.proxy.domain import TOKEN, door_document, schemas_of, with_security
from tests.services.gateway.app import Opener, Service


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


STATE, BATCH = "/api/v1/dashboard/state", "/api/v1/events/batch"
EVENT = "/api/v1/events/{event_id}"
PUBLISHED: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        STATE: {
            "get": {
                "description": "Who <b>scans</b> now.",
                "parameters": [{"name": "date", "in": "query", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "Everybody"}},
            }
        },
        EVENT: {
            "delete": {"responses": {}},
            "put": {"responses": {"200": {"description": "not let through"}}},
        },
        BATCH: {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": ref("Batch")}}},
                "responses": {},
            }
        },
        "/ready": {"get": {"responses": {}}},
    },
    "components": {
        "schemas": {
            "Batch": {
                "type": "object",
                "required": ["events"],
                "properties": {"events": {"type": "array", "items": ref("Scan")}},
            },
            "Scan": {"type": "object", "properties": {"code": {"type": "string"}}},
            "Secret": {"type": "object"},
        }
    },
}


@pytest.fixture
def published(service: Service) -> Service:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(PUBLISHED)

    service.answer = answer
    return service


@pytest.fixture
async def reader(published: Service, open_gateway: Opener) -> AsyncIterator[AsyncClient]:
    async with open_gateway(hosts=("scan=scan.shop.example",)) as client:
        yield client


async def test_a_document_has_the_scope_of_each_operation(
    reader: AsyncClient, published: Service
) -> None:
    document = (await reader.get("/scan/openapi.json")).json()
    for path in ("/scan/docs", "/scan/openapi.json"):
        await reader.get(path)

    routes = {(path, method) for path, each in document["paths"].items() for method in each}
    assert {(STATE, "get"), (EVENT, "delete"), (BATCH, "post")} <= routes
    assert not {(EVENT, "put"), ("/ready", "get")} & routes
    assert document["servers"] == [{"url": "/scan"}]
    assert {"Batch", "Scan"} <= document["components"]["schemas"].keys()
    assert "Secret" not in document["components"]["schemas"]
    assert document["paths"][STATE]["get"]["security"] == [
        {"ApiKey": ["scan:read"]},
        {"AccessToken": ["scan:read"]},
    ]
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"
    # A service is asked once a minute.
    assert [request.path for request in published.requests] == ["/internal/openapi.json"]


@pytest.mark.parametrize(
    ("door", "path"),
    [
        ("scales", "/auth/login"),
        ("crm", "/api/v1/auth/token"),
        ("shop", "/api/auth/request-otp"),
        ("kiosk", "/api/v1/auth/login"),
    ],
)
async def test_a_door_without_a_service_tells_of_its_logins(
    reader: AsyncClient, published: Service, door: str, path: str
) -> None:
    document = (await reader.get(f"/{door}/openapi.json")).json()

    assert document["paths"][path]["post"]["security"] == []
    assert published.requests == []


@pytest.mark.parametrize(
    ("path", "host", "title", "server"),
    [
        ("/openapi.json", "gateway", "scan", "/"),
        ("/openapi.json", "scan.shop.example", "scan", "/"),
        # The kiosks find theirs where they look.
        ("/api/v1/openapi.json", "gateway", "kiosk", None),
        ("/kiosk/api/v1/openapi.json", "gateway", "kiosk", None),
    ],
)
async def test_at_the_root_the_scan_logger_is_at_home(
    reader: AsyncClient, path: str, host: str, title: str, server: str | None
) -> None:
    document = (await reader.get(path, headers={"Host": host})).json()

    assert document["info"]["title"] == f"Tillstream: {title}"
    assert server is None or document["servers"] == [{"url": server}]


async def test_the_index_names_the_doors(reader: AsyncClient) -> None:
    answer = await reader.get("/docs")

    assert answer.status_code == 200
    assert "Swagger" in answer.text
    for door in ("scan", "scales", "crm", "shop", "kiosk"):
        assert f'href="/{door}/docs"' in answer.text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/scan/docs", "/crm/redoc"])
async def test_a_page_runs_nothing_and_loads_nothing(reader: AsyncClient, path: str) -> None:
    answer = await reader.get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    style = re.search("<style>(.*)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in answer.text
    assert "//" not in answer.text.replace("<!doctype html>", "")


async def test_what_a_service_says_of_itself_is_text_and_no_markup(reader: AsyncClient) -> None:
    text = (await reader.get("/scan/docs")).text

    assert "Who &lt;b&gt;scans&lt;/b&gt; now." in text
    assert "<b>scans" not in text
    assert "<code>events[].code</code>" in text
    assert "with <code>scan:remove</code>" in text


@pytest.mark.parametrize(("status", "text"), [(503, ""), (200, "{"), (200, "[]")])
async def test_while_a_service_says_nothing_its_door_says_what_it_can(
    gateway: AsyncClient, service: Service, status: int, text: str
) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text=text)

    service.answer = answer
    page = await gateway.get("/scan/docs")

    assert page.status_code == 200
    assert "The service behind this door is away." in page.text


DOOR = Door(
    name="crm",
    prefix="/crm",
    root=(),
    repeated="",
    service="crm",
    auth_scheme=AuthScheme.BEARER,
    shape=Shape.ERROR,
    rules=(
        Rule(("GET", "HEAD"), "/visits/{}", "visits:read", Limit.NONE),
        Rule(("GET",), "/files/*", None, Limit.NONE),
        Rule(("POST",), "/users", "users:write", Limit.NONE),
    ),
)


def document(paths: dict[str, Any], **schemas: Any) -> dict[str, Any]:
    return {"paths": paths, "components": {"schemas": schemas}}


def joined(service: dict[str, Any] | None, own: dict[str, Any]) -> dict[str, Any]:
    return door_document(DOOR, service, own, base="/crm", version="1")


def test_only_permitted_operations_are_described() -> None:
    paths = {
        "/visits/{visit_id}": {"get": {}, "delete": {}, "parameters": ["kept"]},
        "/visits/{visit_id}/secret": {"get": {}},
        "/files/{path}": {"get": {}},
        "/metrics": {"get": {}},
    }

    joint = joined(document(paths), {})["paths"]

    assert joint == {
        "/visits/{visit_id}": {
            "parameters": ["kept"],
            "get": {"security": [{"ApiKey": ["visits:read"]}, {"AccessToken": ["visits:read"]}]},
        },
        "/files/{path}": {"get": {"security": []}},
    }


def test_where_both_answer_it_is_the_service_that_is_described() -> None:
    theirs = document({"/users": {"post": {"summary": "theirs"}}})
    ours = document({"/users": {"post": {"summary": "ours"}, "get": {"summary": "ours"}}})

    joint = joined(theirs, ours)["paths"]["/users"]

    assert {method: said["summary"] for method, said in joint.items()} == {
        "post": "theirs",
        "get": "ours",
    }


def test_schemas_of_one_name_that_differ_are_kept_apart() -> None:
    theirs = document({"/users": {"post": {"x": ref("User")}}}, User={"of": "theirs"}, Same={})
    ours = document(
        {"/auth": {"post": {"x": ref("User"), "y": ref("Same")}}},
        User={"of": "ours", "again": ref("User")},
        Same={},
    )

    joint = joined(theirs, ours)

    assert schemas_of(joint) == {
        "User": {"of": "theirs"},
        "GatewayUser": {"of": "ours", "again": ref("GatewayUser")},
        "Same": {},
    }
    assert joint["paths"]["/auth"]["post"]["x"] == ref("GatewayUser")
    assert joint["paths"]["/users"]["post"]["x"] == ref("User")


def test_an_operation_has_its_security() -> None:
    for scope, security in ((None, []), ("", [{TOKEN: []}]), ("a:b", [{TOKEN: ["a:b"]}])):
        assert with_security({}, scope, schemes=[TOKEN]) == {"security": security}
