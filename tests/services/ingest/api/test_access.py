"""Who may use which route, and what holds for the answers of all of them."""

from typing import Final

import pytest
from httpx import Response

from libs.http.undeclared import undeclared_routes
from libs.testing.routes import Route, routes_of
from tests.services.ingest.history import a_scan, events_in, uuid
from tests.services.ingest.service import (
    BATCH,
    BOXES,
    BOXES_CSV,
    BULK,
    CALLERS,
    CSV,
    DELETIONS,
    EXCEL,
    QUARANTINE,
    RAW,
    READ,
    REMOVE,
    REMOVING,
    STATE,
    VERIFY,
    WRITE,
    Service,
)

STREAM = "/api/v1/dashboard/stream"
PUBLIC: Final = {"/", "/ping", "/health", "/metrics"}
SCOPES: Final = {
    ("POST", BATCH): WRITE,
    ("POST", VERIFY): WRITE,
    ("POST", REMOVE): REMOVING,
    ("POST", BULK): REMOVING,
    ("DELETE", "/api/v1/events/{uuid}"): REMOVING,
    ("GET", DELETIONS): READ,
    ("GET", STATE): READ,
    ("GET", RAW): READ,
    ("GET", "/api/v1/logs/raw"): READ,
    ("GET", STREAM): READ,
    ("GET", BOXES): READ,
    ("GET", CSV): READ,
    ("GET", BOXES_CSV): READ,
    ("GET", EXCEL): READ,
    ("GET", QUARANTINE): READ,
    ("GET", f"{QUARANTINE}/{{id}}"): READ,
    ("POST", f"{QUARANTINE}/{{id}}/mend"): REMOVING,
    ("POST", f"{QUARANTINE}/{{id}}/replay"): REMOVING,
    ("POST", f"{QUARANTINE}/{{id}}/drop"): REMOVING,
    ("POST", f"{QUARANTINE}/replay"): REMOVING,
}


def protected(ingest: Service) -> list[Route]:
    return [one for one in routes_of(ingest.app.openapi()) if one.path not in PUBLIC]


async def call(ingest: Service, caller: str, route: Route) -> Response:
    client = getattr(ingest, caller)
    path = route.path.replace("{uuid}", uuid(1)).replace("{id}", uuid(1))
    body = route.body()
    answer: Response = await client.request(
        route.method, path, **({} if body is None else {"json": body})
    )
    return answer


async def test_every_route_is_open_to_exactly_one_scope(ingest: Service) -> None:
    assert {(one.method, one.path) for one in protected(ingest)} == SCOPES.keys()
    for route in protected(ingest):
        scope, name = SCOPES[route.method, route.path], f"{route.method} {route.path}"
        refused = await call(ingest, "anonymous", route)
        assert refused.status_code == 401, name
        assert isinstance(refused.json()["detail"], str), name
        for caller in ("device", "viewer", "remover"):
            if scope not in CALLERS[caller][1]:
                assert (await call(ingest, caller, route)).status_code == 403, (name, caller)
    assert await events_in(ingest.store) == []

    for route in protected(ingest):
        if route.path != STREAM:  # it would not end
            scope = SCOPES[route.method, route.path]
            (caller,) = [one for one, (_, scopes) in CALLERS.items() if scopes == (scope,)]
            assert (await call(ingest, caller, route)).status_code not in (401, 403), route.path


async def test_every_route_says_who_may_pass(ingest: Service) -> None:
    assert undeclared_routes(ingest.app) == []


async def test_no_answer_to_a_get_can_be_kept_by_a_service_worker(ingest: Service) -> None:
    paths = [
        one.path.replace("{id}", uuid(1))
        for one in routes_of(ingest.app.openapi())
        if one.method == "GET" and one.path != STREAM
    ]
    for path in [*paths, "/api/v1/nothing", f"{STATE}?date=x"]:
        for client in (ingest.viewer, ingest.anonymous):
            answer = await client.get(path)
            kept = (answer.headers.get("vary"), answer.headers.get("cache-control"))
            assert kept == ("*", "no-store"), path


@pytest.mark.parametrize(
    ("path", "projections"),
    [
        (STATE, {"activity", "presence", "scan_log"}),
        (RAW, {"activity", "scan_log"}),
        (BOXES, {"box", "scan_log"}),
        (DELETIONS, {"removal"}),
        (QUARANTINE, {"quarantine"}),
        *((path, {"scan_log"}) for path in (CSV, BOXES_CSV, EXCEL)),
    ],
)
async def test_an_answer_older_than_the_token_says_so(
    ingest: Service, path: str, projections: set[str]
) -> None:
    await ingest.record(a_scan(1))
    token = {"X-Consistency-Token": "123"}

    in_time = await ingest.viewer.get(path, headers=token)
    ingest.read_models.stale = True
    too_late = await ingest.viewer.get(path, headers=token)
    without_a_token = await ingest.viewer.get(path)

    assert {one.status_code for one in (in_time, too_late, without_a_token)} == {200}
    assert "x-stale" not in in_time.headers
    assert too_late.headers["x-stale"] == "1"
    assert "x-stale" not in without_a_token.headers
    assert ingest.read_models.asked == {(name, "123") for name in projections}
