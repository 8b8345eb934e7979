"""What the gateway says of itself, and how it behaves around the doors."""

from typing import Any, cast
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.http.undeclared import undeclared_routes
from libs.telemetry import traces
from libs.testing.callers import client_of
from libs.testing.routes import assert_head_is_get_without_a_body
from tests.services.gateway.app import KEY, PAGE, Keys, Service, open_app

STATE = "/api/v1/dashboard/state"


async def test_every_route_declares_its_permission(service: Service, keys: Keys) -> None:
    async with open_app(service, keys) as app:
        assert undeclared_routes(cast(FastAPI, app)) == []


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
async def test_head_is_answered_wherever_get_is(service: Service, keys: Keys) -> None:
    ids = {"key_id": str(uuid4()), "session_id": str(uuid4()), "user_id": "1", "number": "1"}
    async with open_app(service, keys) as app, client_of(app) as client:
        walked = await assert_head_is_get_without_a_body(client, app.openapi(), ids)

    assert {"/", "/ping", "/health", "/.well-known/jwks.json"} <= {*walked}


async def test_the_scanners_questions_are_answered_as_ever(gateway: AsyncClient) -> None:
    about, ping = await gateway.get("/"), await gateway.get("/ping")

    assert about.json() == {
        "name": "Scanner Logger API",
        "version": "1.0.0",
        "docs": "/docs",
        "redoc": "/redoc",
        "health": "/health",
        "metrics": "/metrics",
    }
    assert ping.json() == {"ok": True, "message": "pong"}
    # Its connection test needs no key.
    for path in ("/?ping=1", "/ping?x", "/ping", "/scan/?ping=1"):
        answer = await gateway.get(f"http://gateway{path}", headers={"Origin": PAGE})
        assert answer.status_code == 200, path
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert (answer.headers["vary"], answer.headers["cache-control"]) == ("*", "no-store")


async def test_the_published_keys_are_public_halves_and_may_be_kept(gateway: AsyncClient) -> None:
    answer = await gateway.get("/.well-known/jwks.json")

    (key,) = answer.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
    assert answer.headers["cache-control"] == "public, max-age=300"


async def test_a_crash_is_an_answer_that_says_nothing_of_what_crashed(
    gateway: AsyncClient, keys: Keys
) -> None:
    keys.callers = cast(dict, None)  # type: ignore[type-arg]

    answer = await gateway.get(STATE, headers={"Origin": PAGE, "X-API-Key": KEY})

    assert answer.status_code == 500
    assert set(answer.json()) == {"detail"}
    assert "NoneType" not in answer.text
    assert answer.headers.get_list("access-control-allow-origin") == [PAGE]


NETWORK = ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("client", "headers", "different", "status"),
    [
        ("127.0.0.1", {}, {}, 200),
        ("::1", {}, {}, 200),
        ("10.1.2.3", {}, {}, 404),
        ("10.1.2.3", {}, {"metrics_networks": NETWORK}, 200),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, {}, 404),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, {}, 404),
        ("10.1.2.3", {"X-Forwarded-For": "127.0.0.1"}, {}, 404),
        (
            "10.1.2.3",
            {"X-Forwarded-For": "203.0.113.9"},
            {"trusted_proxies": NETWORK, "metrics_networks": NETWORK},
            404,
        ),
    ],
)
async def test_only_metrics_networks_read_the_metrics(
    service: Service, keys: Keys, client: str, headers: Any, different: Any, status: int
) -> None:
    async with open_app(service, keys, **different) as app, client_of(app, address=client) as c:
        for path in ("/metrics", "/metrics/", "//metrics"):
            url = f"http://service{path}"
            answer = await c.get(url, headers=headers, follow_redirects=True)

            # Spelled otherwise nothing need be there, but never more than is allowed.
            allowed = (status, 404) if path == "//metrics" else (status,)
            assert answer.status_code in allowed, path
            assert ("tillstream_" in answer.text) == (answer.status_code == 200)


@pytest.mark.parametrize("url", ["http://gateway/crm/metrics", "http://crm.example/metrics"])
async def test_the_crms_scripts_read_its_metrics_as_json(
    service: Service, keys: Keys, database: str, url: str
) -> None:
    for address, status in ((database, 200), ("postgresql://nobody@127.0.0.1:1/none", 503)):
        different: Any = {"hosts": ("crm=crm.example",), "database_url": address}
        async with open_app(service, keys, **different) as app, client_of(app) as c:
            answer = await c.get(url)

        assert answer.status_code == status
        assert answer.json() == {
            "status": "ok" if status == 200 else "error",
            "database": "connected" if status == 200 else "disconnected",
            "redis": "disconnected",
            "queue_length": None,
            "rate_limit_enabled": True,
        }


async def test_without_its_database_it_is_not_ready_and_says_so(gateway: AsyncClient) -> None:
    answer = await gateway.get("/ready")

    assert answer.status_code == 503
    checks = {check["name"]: check["ok"] for check in answer.json()["checks"]}
    behind = {"ingest": True, "scale_bridge": True, "shop": True}
    assert checks == {"database": False, "revocations": True, **behind}


async def test_one_trace_continues_at_the_service(service: Service, keys: Keys) -> None:
    spans = InMemorySpanExporter()
    telemetry = traces.set_up("gateway", exporter=spans)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with open_app(service, keys, telemetry=telemetry) as app, client_of(app) as client:
        await client.get(STATE, headers={"X-API-Key": KEY, "traceparent": parent})

    (span,) = spans.get_finished_spans()
    assert span.name == "GET /api/v1/dashboard/state"
    assert span.parent is not None
    passed = traces.parse(service.requests[0].headers["traceparent"])
    assert passed.trace_id == span.context.trace_id == traces.parse(parent).trace_id
    assert passed.span_id == span.context.span_id


async def test_what_passes_is_measured_by_route_and_not_by_path(gateway: AsyncClient) -> None:
    await gateway.get("/api/v1/quarantine/some-unusual-path", headers={"X-API-Key": KEY})
    metrics = (await gateway.get("/metrics")).text

    assert 'route="/api/v1/quarantine/{}"' in metrics
    assert "some-unusual-path" not in metrics
