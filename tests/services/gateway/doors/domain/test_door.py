"""How a request finds its door."""

import pytest

from services.gateway.doors.domain.door import (
    WEBSOCKET,
    AuthScheme,
    BadPath,
    Door,
    Limit,
    NoDoor,
    NoSuchMethod,
    NoSuchPath,
    NotInstalled,
    Rule,
    Shape,
    WebSocketOnly,
    match_route,
)
from services.gateway.doors.domain.doors import DOORS, SCAN, with_hosts

BATCH = "/api/v1/events/batch"
ID = "0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80"


@pytest.mark.parametrize(
    "path",
    [
        BATCH,
        *(f"/scan{BATCH}", f"/{BATCH}", "/api//v1///events/batch", f"/scan/{BATCH}"),
        *(f"/api/v1{BATCH}", f"/api/v1/{BATCH}", f"/api/v1/api/v1{BATCH}", f"/scan/api/v1{BATCH}"),
    ],
)
def test_however_a_client_spells_the_path_the_service_gets_the_plain_one(path: str) -> None:
    found = match_route(DOORS, "POST", path)

    assert found.door is SCAN
    assert found.path == BATCH
    assert (found.rule.scope, found.rule.limit) == ("scan:write", Limit.INGEST)


@pytest.mark.parametrize(
    ("scope", "limit", "requests"),
    [
        ("scan:write", Limit.INGEST, ["POST events/batch", "POST events/verify"]),
        (
            "scan:remove",
            Limit.REMOVAL,
            [
                *("POST events/remove", "POST events/bulk-remove", f"DELETE events/{ID}"),
                *("POST quarantine/replay", f"POST quarantine/{ID}/mend"),
                *(f"POST quarantine/{ID}/replay", f"POST quarantine/{ID}/drop"),
            ],
        ),
        (
            "scan:read",
            Limit.DASHBOARD,
            [
                *("GET dashboard/state", "HEAD dashboard/state", "GET dashboard/raw"),
                *("GET dashboard/boxes", "GET dashboard/stream", "GET logs/raw", "GET deletions"),
                *("GET quarantine", f"GET quarantine/{ID}"),
            ],
        ),
        (
            "scan:read",
            Limit.EXPORT,
            [
                *("GET export/csv", "GET export/boxes-csv"),
                *("GET export/excel", "HEAD export/excel"),
            ],
        ),
        (None, Limit.NONE, ["GET /scan/ping", "GET /scan", "GET /scan/"]),
    ],
)
def test_every_route_of_the_scan_door_has_its_scope_and_its_limit(
    scope: str | None, limit: Limit, requests: list[str]
) -> None:
    for request in requests:
        method, path = request.split()
        rule = match_route(DOORS, method, path if path.startswith("/") else f"/api/v1/{path}").rule
        assert (rule.scope, rule.limit) == (scope, limit), request


@pytest.mark.parametrize(
    ("refused", "paths"),
    [
        (
            BadPath,
            [
                *("/scan/../metrics", "/scan/%2e%2e/metrics", "/scan/.%2E/metrics"),
                *("/scan/api/v1/dashboard/../../../metrics", "/scan/api/v1/dashboard/.."),
                *("/scan/./ping", "/scan%2fping", "/api/v1/dashboard/a%2F..%2Fmetrics"),
                *("/api/v1/dashboard/a%5c..%5cmetrics", "/api/v1/dashboard/\\metrics"),
                *("/api/v1/dashboard/%252e%252e/metrics", "/api/v1/dashboard/a%00b"),
                *("/api/v1/dashboard/a b", "/api/v1/dashboard/a\r\nx", "/api/v1/dashboard/a#b"),
            ],
        ),
        (NoDoor, ["/", "/ping", "/scanner", "/api/v1/events2/x", "/api/v1/order", "/api/v1/users"]),
        (
            NotInstalled,
            [
                *("/crm", "/crm/anything", "/kiosk/ws", "/api/v1/objects/7"),
                *("/api/v1/orders", "/api/v1/kiosk/orders/1"),
            ],
        ),
        (
            NoSuchPath,
            [
                *("/scan/metrics", "/scan/docs", "/scan/ready", "/api/v1/events/"),
                *("/api/v1/dashboard/secrets", "/api/v1/logs/other", "/api/v1/quarantine/a/b/c"),
                *("/shop/api/v1/x", "/api/orders/x/y/z", "/uploads/a/b/c.png"),
            ],
        ),
    ],
    ids=["could mean two things", "belongs to no door", "has no service", "is not in the rules"],
)
def test_a_path_without_a_rule_is_refused(refused: type[Exception], paths: list[str]) -> None:
    for path in paths:
        with pytest.raises(refused):
            match_route(DOORS, "GET", path)


def test_a_refused_method_comes_with_those_there_are() -> None:
    with pytest.raises(NoSuchMethod) as refused:
        match_route(DOORS, "GET", BATCH)

    assert refused.value.allowed == ("POST",)


@pytest.mark.parametrize(
    ("method", "path", "forwarded"),
    [
        ("GET", "/scan/api/v1/dashboard/state/", "/api/v1/dashboard/state"),
        ("POST", "//scan//api/v1/events/batch//", "/api/v1/events/batch"),
        ("GET", "/crm/users", "/users/"),
        ("GET", "/crm/users/", "/users/"),
        ("GET", "/crm/users/7", "/users/7/"),
        ("GET", "/crm", "/"),
    ],
)
def test_a_slash_at_the_end_is_as_the_service_declares_it(
    method: str, path: str, forwarded: str
) -> None:
    assert match_route(BOTH, method, path).path == forwarded


CRM = Door(
    name="crm",
    prefix="/crm",
    root=("/live",),
    repeated="",
    service="crm",
    auth_scheme=AuthScheme.API_KEY,
    shape=Shape.PROBLEM,
    rules=(
        Rule(("GET",), "/", None, Limit.NONE),
        Rule((WEBSOCKET,), "/live", None, Limit.NONE),
        Rule((WEBSOCKET, "GET"), "/live/both", None, Limit.NONE),
        Rule(("GET",), "/live/plain", None, Limit.NONE),
        Rule(("GET",), "/users/", None, Limit.NONE),
        Rule(("GET",), "/users/{}/", None, Limit.NONE),
    ),
    hosts=frozenset({"crm.shop.example"}),
)
BOTH = (with_hosts({"scan.shop.example": "scan"})[0], CRM)


@pytest.mark.parametrize("path", ["/", "/ping", "/api/v1/dashboard/state", "/scan/ping", "//ping"])
def test_every_path_of_a_bound_host_is_its_doors(path: str) -> None:
    found = match_route(BOTH, "GET", path, "Scan.shop.example.:8443")

    assert found.door.name == "scan"
    assert found.path == path.replace("//", "/").removeprefix("/scan")


@pytest.mark.parametrize("path", ["/scan/ping", "/api/v1/dashboard/state", "/metrics"])
def test_a_bound_host_shows_no_other_door(path: str) -> None:
    with pytest.raises(NoSuchPath) as no:
        match_route(BOTH, "GET", path, "crm.shop.example")

    assert no.value.shape is Shape.PROBLEM


@pytest.mark.parametrize("host", [None, "", "shop.example", "scan.shop.example.evil", "10.0.0.1"])
def test_other_hosts_are_led_by_the_path(host: str | None) -> None:
    assert match_route(BOTH, "GET", "/scan/ping", host).door.name == "scan"
    with pytest.raises(NoDoor):
        match_route(BOTH, "GET", "/ping", host)


def test_a_websocket_finds_only_what_speaks_it_and_is_named_as_no_method() -> None:
    assert match_route(BOTH, WEBSOCKET, "/crm/live").path == "/live"
    assert match_route(BOTH, WEBSOCKET, "/live/both").path == "/live/both"
    with pytest.raises(NoSuchPath):
        match_route(BOTH, WEBSOCKET, "/live/plain")
    with pytest.raises(WebSocketOnly):
        match_route(BOTH, "GET", "/live")
    with pytest.raises(NoSuchMethod) as no:
        match_route(BOTH, "POST", "/live/both")

    assert no.value.allowed == ("GET",)
