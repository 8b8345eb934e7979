"""What clients may read about the doors, and that a browser shows it without running anything."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import web
from httpx import AsyncClient

from tests.services.gateway.conftest import Opener, Service

PUBLISHED: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/api/v1/dashboard/state": {
            "get": {
                "description": "Who <b>scans</b> now.",
                "parameters": [{"name": "date", "in": "query", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "Everybody"}},
            }
        },
        "/api/v1/events/{event_id}": {
            "delete": {"responses": {}},
            "put": {"responses": {"200": {"description": "not let through"}}},
        },
        "/api/v1/events/batch": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Batch"}}
                    }
                },
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
                "properties": {
                    "events": {"type": "array", "items": {"$ref": "#/components/schemas/Scan"}}
                },
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


async def test_a_document_holds_what_the_door_lets_through_and_who_may(
    reader: AsyncClient,
) -> None:
    document = (await reader.get("/scan/openapi.json")).json()

    said = {(path, method) for path, each in document["paths"].items() for method in each}
    assert {
        ("/api/v1/dashboard/state", "get"),
        ("/api/v1/events/{event_id}", "delete"),
        ("/api/v1/events/batch", "post"),
    } <= said
    assert ("/api/v1/events/{event_id}", "put") not in said
    assert "/ready" not in document["paths"]
    assert document["servers"] == [{"url": "/scan"}]
    assert {"Batch", "Scan"} <= document["components"]["schemas"].keys()
    assert "Secret" not in document["components"]["schemas"]
    assert document["paths"]["/api/v1/dashboard/state"]["get"]["security"] == [
        {"ApiKey": ["scan:read"]},
        {"AccessToken": ["scan:read"]},
    ]
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"


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
    assert published.asked == []


@pytest.mark.parametrize(
    ("path", "host", "server"),
    [("/openapi.json", "gateway", "/"), ("/openapi.json", "scan.shop.example", "/")],
)
async def test_at_the_root_the_scan_logger_is_at_home(
    reader: AsyncClient, path: str, host: str, server: str
) -> None:
    document = (await reader.get(path, headers={"Host": host})).json()

    assert document["info"]["title"] == "Tillstream: scan"
    assert document["servers"] == [{"url": server}]


async def test_the_kiosks_find_theirs_where_they_look(reader: AsyncClient) -> None:
    for path in ("/api/v1/openapi.json", "/kiosk/api/v1/openapi.json"):
        assert (await reader.get(path)).json()["info"]["title"] == "Tillstream: kiosk"


async def test_a_service_is_asked_once_a_minute(reader: AsyncClient, published: Service) -> None:
    for _ in range(3):
        await reader.get("/scan/docs")
        await reader.get("/scan/openapi.json")

    assert [request.path for request in published.asked] == ["/internal/openapi.json"]


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


@pytest.mark.parametrize("answer", ["away", "nonsense", "a list"])
async def test_while_a_service_says_nothing_its_door_says_what_it_can(
    open_gateway: Opener, service: Service, answer: str
) -> None:
    async def said(_: web.BaseRequest) -> web.StreamResponse:
        texts = {"nonsense": "{", "a list": "[]"}
        return web.Response(status=503 if answer == "away" else 200, text=texts.get(answer, ""))

    service.answer = said
    async with open_gateway() as gateway:
        page = await gateway.get("/scan/docs")

    assert page.status_code == 200
    assert "The service behind this door is away." in page.text
