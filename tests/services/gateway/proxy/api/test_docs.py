"""What clients may read about the doors: documents of two parts, and pages that show them."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from httpx import AsyncClient

from services.gateway.doors.domain.door import AuthScheme, Door, Limit, Rule, Shape
from services.gateway.proxy.domain import LOGIN, TOKEN, door_document, schemas_of, with_security
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
async def test_a_page_loads_scripts_of_the_gateway_only(reader: AsyncClient, path: str) -> None:
    answer = await reader.get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert ("style-src 'self'" in policy) == ("docs" in path)
    assert not re.search(r"<script(?! src=)|[\s\"]on[a-z]+=|//", answer.text)
    for file in re.findall('(?:src|href)="([^"]*/docs/[^"]+)"', answer.text):
        assert (await reader.get(file)).status_code == 200, file


@pytest.mark.parametrize("path", ["/scan/docs", "/crm/redoc", "/docs"])
async def test_a_page_finds_its_files_at_its_door(reader: AsyncClient, path: str) -> None:
    host = {"Host": "scan.shop.example"} if path == "/docs" else {}
    text = (await reader.get(path, headers=host)).text

    base = path.removesuffix("/docs").removesuffix("/redoc")
    assert f'src="{base}/docs/start.js" data-openapi="{base}/openapi.json"' in text


@pytest.mark.parametrize("name", ["nothing.js", "..%2fcore.py", "core.py", "%2e%2e/core.py"])
async def test_other_files_are_not_served(reader: AsyncClient, name: str) -> None:
    assert (await reader.get(f"/scan/docs/{name}")).status_code in {400, 404}


@pytest.mark.parametrize(("status", "text"), [(503, ""), (200, "{"), (200, "[]")])
async def test_while_a_service_says_nothing_its_door_says_what_it_can(
    gateway: AsyncClient, service: Service, status: int, text: str
) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text=text)

    service.answer = answer
    document = (await gateway.get("/scan/openapi.json")).json()

    assert "The service behind this door is away" in document["info"]["description"]
    assert "/api/v1/keys" in document["paths"]


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
            "get": {
                "security": [{"AccessToken": ["visits:read"]}, {"ApiKey": ["visits:read"]}],
                "description": "Needs the permission `visits:read`.",
            },
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


def test_a_login_by_form_is_the_first_scheme_of_its_door() -> None:
    door = replace(DOOR, form_login="/auth/token")
    paths: dict[str, Any] = {"/visits/{id}": {"get": {}}, "/files/{path}": {"get": {}}}

    joint = door_document(door, document(paths), {}, base="/crm", version="1")

    assert joint["paths"]["/visits/{id}"]["get"]["security"][0] == {LOGIN: []}
    login = joint["components"]["securitySchemes"][LOGIN]
    assert login["flows"] == {"password": {"tokenUrl": "/crm/auth/token", "scopes": {}}}


def test_schemes_that_no_operation_uses_are_not_offered() -> None:
    joint = joined(None, document({"/auth": {"post": {"security": [{TOKEN: []}]}}}))

    assert joint["components"]["securitySchemes"].keys() == {TOKEN}


@pytest.mark.parametrize(
    ("description", "summary", "rest"),
    [
        ("List keys.", "List keys", "List keys."),
        ("One key; 404 without.", "One key", "One key; 404 without."),
        ("Scans (§2.8) by\ntime. Rows.", "Scans by time", "Scans by\ntime. Rows."),
        ("A token (RFC 7519) for v1.2 (spec crm §3): new.", "A token (RFC 7519) for v1.2", None),
    ],
)
def test_an_operation_is_summarised_by_the_first_clause_of_its_description(
    description: str, summary: str, rest: str | None
) -> None:
    operation = {"summary": "Function Name", "description": description}

    described = joined(None, document({"/a": {"get": operation}}))["paths"]["/a"]["get"]

    assert described["summary"] == summary
    assert rest is None or described["description"] == rest
    assert "§" not in described["description"]
