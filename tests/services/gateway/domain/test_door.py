"""How a request finds its door."""

import pytest

from services.gateway.domain.door import (
    WEBSOCKET,
    BadPath,
    Door,
    Limit,
    Login,
    NoDoor,
    NoSuchMethod,
    NoSuchPath,
    Rule,
    Shape,
    TrailingSlash,
    WebSocketOnly,
    find,
)
from services.gateway.domain.doors import DOORS, SCAN, bound

BATCH = "/api/v1/events/batch"


@pytest.mark.parametrize(
    "asked",
    [
        "/api/v1/events/batch",
        "/scan/api/v1/events/batch",
        "//api/v1/events/batch",
        "/api//v1///events/batch",
        "/api/v1/api/v1/events/batch",
        "/api/v1//api/v1/events/batch",
        "/api/v1/api/v1/api/v1/events/batch",
        "/scan/api/v1/api/v1/events/batch",
        "/scan//api/v1/events/batch",
    ],
)
def test_however_a_client_spells_the_path_the_service_gets_the_plain_one(asked: str) -> None:
    found = find(DOORS, "POST", asked)

    assert found.door is SCAN
    assert found.path == BATCH
    assert found.rule.scope == "scan:write"
    assert found.rule.limit is Limit.INGEST


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/api/v1/events/batch", "scan:write"),
        ("POST", "/api/v1/events/verify", "scan:write"),
        ("POST", "/api/v1/events/remove", "scan:remove"),
        ("POST", "/api/v1/events/bulk-remove", "scan:remove"),
        ("DELETE", "/api/v1/events/0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80", "scan:remove"),
        ("GET", "/api/v1/dashboard/state", "scan:read"),
        ("HEAD", "/api/v1/dashboard/state", "scan:read"),
        ("GET", "/api/v1/dashboard/raw", "scan:read"),
        ("GET", "/api/v1/logs/raw", "scan:read"),
        ("GET", "/api/v1/export/boxes-csv", "scan:read"),
        ("GET", "/api/v1/deletions", "scan:read"),
        ("GET", "/api/v1/dashboard/boxes", "scan:read"),
        ("GET", "/api/v1/dashboard/stream", "scan:read"),
        ("GET", "/api/v1/export/csv", "scan:read"),
        ("GET", "/api/v1/export/excel", "scan:read"),
        ("HEAD", "/api/v1/export/excel", "scan:read"),
        ("GET", "/api/v1/quarantine", "scan:read"),
        ("GET", "/api/v1/quarantine/0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80", "scan:read"),
        ("POST", "/api/v1/quarantine/replay", "scan:remove"),
        ("POST", "/api/v1/quarantine/0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80/mend", "scan:remove"),
        ("POST", "/api/v1/quarantine/0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80/replay", "scan:remove"),
        ("POST", "/api/v1/quarantine/0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80/drop", "scan:remove"),
        ("GET", "/scan/ping", None),
        ("GET", "/scan", None),
        ("GET", "/scan/", None),
    ],
)
def test_every_route_of_the_scan_door_says_what_it_takes(
    method: str, path: str, scope: str | None
) -> None:
    assert find(DOORS, method, path).rule.scope == scope


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/api/v1/events/batch", Limit.INGEST),
        ("POST", "/api/v1/events/verify", Limit.INGEST),
        ("POST", "/api/v1/events/remove", Limit.REMOVAL),
        ("POST", "/api/v1/events/bulk-remove", Limit.REMOVAL),
        ("DELETE", "/api/v1/events/0a6a7d0e", Limit.REMOVAL),
        ("POST", "/api/v1/quarantine/0a6a7d0e/mend", Limit.REMOVAL),
        ("GET", "/api/v1/dashboard/state", Limit.DASHBOARD),
        ("GET", "/api/v1/deletions", Limit.DASHBOARD),
        ("GET", "/api/v1/export/excel", Limit.EXPORT),
        ("GET", "/scan/ping", Limit.NONE),
    ],
)
def test_every_route_counts_against_the_limit_of_its_kind(
    method: str, path: str, limit: Limit
) -> None:
    assert find(DOORS, method, path).rule.limit is limit


@pytest.mark.parametrize(
    "path",
    [
        "/scan/../metrics",
        "/scan/api/v1/dashboard/../../../metrics",
        "/scan/%2e%2e/metrics",
        "/scan/.%2E/metrics",
        "/scan/api/v1/dashboard/..",
        "/scan/./ping",
        "/scan%2fping",
        "/api/v1/dashboard/a%2F..%2Fmetrics",
        "/api/v1/dashboard/a%5c..%5cmetrics",
        "/api/v1/dashboard/\\metrics",
        "/api/v1/dashboard/%252e%252e/metrics",
        "/api/v1/dashboard/a%00b",
        "/api/v1/dashboard/a b",
        "/api/v1/dashboard/a\r\nx",
        "/api/v1/dashboard/a#b",
    ],
)
def test_a_path_that_could_mean_two_things_is_refused(path: str) -> None:
    with pytest.raises(BadPath):
        find(DOORS, "GET", path)


@pytest.mark.parametrize("path", ["/", "/ping", "/scanner", "/api/v1/events2/x", "/api/v1/orders"])
def test_what_belongs_to_no_door_is_left_to_others(path: str) -> None:
    with pytest.raises(NoDoor):
        find(DOORS, "GET", path)


@pytest.mark.parametrize(
    "path",
    [
        "/scan/metrics",
        "/scan/docs",
        "/scan/ready",
        "/api/v1/events/",
        "/api/v1/dashboard/secrets",
        "/api/v1/logs/other",
        "/api/v1/quarantine/a/b/c",
    ],
)
def test_a_door_shows_nothing_that_is_not_in_its_rules(path: str) -> None:
    with pytest.raises(NoSuchPath):
        find(DOORS, "GET", path)


def test_another_method_is_told_which_ones_there_are() -> None:
    with pytest.raises(NoSuchMethod) as refused:
        find(DOORS, "GET", BATCH)

    assert refused.value.allowed == ("POST",)


def test_a_trailing_slash_is_led_to_the_same_spelling_without_it() -> None:
    with pytest.raises(TrailingSlash) as slash:
        find(DOORS, "GET", "/scan/api/v1/dashboard/state/")

    assert slash.value.path == "/scan/api/v1/dashboard/state"


def test_a_trailing_slash_can_never_lead_to_another_host() -> None:
    with pytest.raises(TrailingSlash) as slash:
        find(DOORS, "POST", "//scan//api/v1/events/batch//")

    assert slash.value.path == "/scan/api/v1/events/batch"


CRM = Door(
    name="crm",
    prefix="/crm",
    root=("/live",),
    repeated="",
    service="crm",
    login=Login.API_KEY,
    shape=Shape.PROBLEM,
    rules=(
        Rule(("GET",), "/", None, Limit.NONE),
        Rule((WEBSOCKET,), "/live", None, Limit.NONE),
        Rule((WEBSOCKET, "GET"), "/live/both", None, Limit.NONE),
        Rule(("GET",), "/live/plain", None, Limit.NONE),
    ),
    hosts=frozenset({"crm.shop.example"}),
)
BOTH = (bound({"scan.shop.example": "scan"})[0], CRM)


@pytest.mark.parametrize("path", ["/", "/ping", "/api/v1/dashboard/state", "/scan/ping", "//ping"])
def test_every_path_of_a_bound_host_is_its_doors(path: str) -> None:
    found = find(BOTH, "GET", path, "Scan.shop.example.:8443")

    assert found.door.name == "scan"
    assert found.path == path.replace("//", "/").removeprefix("/scan")


@pytest.mark.parametrize("path", ["/scan/ping", "/api/v1/dashboard/state", "/metrics"])
def test_a_bound_host_shows_no_other_door(path: str) -> None:
    with pytest.raises(NoSuchPath) as no:
        find(BOTH, "GET", path, "crm.shop.example")

    assert no.value.shape is Shape.PROBLEM


@pytest.mark.parametrize("host", [None, "", "shop.example", "scan.shop.example.evil", "10.0.0.1"])
def test_other_hosts_are_led_by_the_path(host: str | None) -> None:
    assert find(BOTH, "GET", "/scan/ping", host).door.name == "scan"
    with pytest.raises(NoDoor):
        find(BOTH, "GET", "/ping", host)


def test_a_websocket_finds_only_what_speaks_it() -> None:
    assert find(BOTH, WEBSOCKET, "/crm/live").path == "/live"
    assert find(BOTH, WEBSOCKET, "/live/both").path == "/live/both"
    with pytest.raises(NoSuchPath):
        find(BOTH, WEBSOCKET, "/live/plain")


def test_what_speaks_websocket_only_says_so_and_names_no_method() -> None:
    with pytest.raises(WebSocketOnly):
        find(BOTH, "GET", "/live")
    with pytest.raises(NoSuchMethod) as no:
        find(BOTH, "POST", "/live/both")

    assert no.value.allowed == ("GET",)
