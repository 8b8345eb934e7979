"""Permissions and tenants on every route, and rules for all responses."""

import io
from typing import Any, Final
from uuid import UUID

import openpyxl
import pytest
from httpx import Response

from libs.http.undeclared import undeclared_routes
from libs.testing.callers import bearer, client_of
from libs.testing.routes import (
    Route,
    assert_foreign_ids_are_unknown,
    assert_head_is_get_without_a_body,
    assert_lists_reveal_nothing,
    routes_of,
)
from tests.services.ingest.history import (
    NOON,
    a_scan,
    event,
    events_in,
    quarantine_id,
    uuid,
)
from tests.services.ingest.service import (
    BULK,
    CALLERS,
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

V1 = "/api/v1"
STREAM = f"{V1}/dashboard/stream"
PUBLIC: Final = {"/", "/ping", "/health", "/metrics"}
SCOPES: Final = {
    (method, V1 + path): scope
    for method, path, scope in [
        ("POST", "/events/batch", WRITE),
        ("POST", "/events/verify", WRITE),
        ("POST", "/events/remove", REMOVING),
        ("POST", "/events/bulk-remove", REMOVING),
        ("DELETE", "/events/{uuid}", REMOVING),
        ("GET", "/deletions", READ),
        ("GET", "/dashboard/state", READ),
        ("GET", "/dashboard/raw", READ),
        ("GET", "/logs/raw", READ),
        ("GET", "/dashboard/stream", READ),
        ("GET", "/dashboard/boxes", READ),
        ("GET", "/export/csv", READ),
        ("GET", "/export/boxes-csv", READ),
        ("GET", "/export/excel", READ),
        ("GET", "/quarantine", READ),
        ("GET", "/quarantine/{id}", READ),
        ("POST", "/quarantine/{id}/mend", REMOVING),
        ("POST", "/quarantine/{id}/replay", REMOVING),
        ("POST", "/quarantine/{id}/drop", REMOVING),
        ("POST", "/quarantine/replay", REMOVING),
    ]
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


async def test_head_is_answered_wherever_get_is(ingest: Service) -> None:
    await ingest.send(event(1))
    document = ingest.app.openapi()

    walked = await assert_head_is_get_without_a_body(
        ingest.viewer, document, {"id": uuid(1)}, endless=[STREAM]
    )

    assert {one.path for one in routes_of(document) if one.method == "GET"} == {*walked}


async def test_every_route_declares_its_permission(ingest: Service) -> None:
    assert undeclared_routes(ingest.app) == []


async def test_no_response_contains_the_id_of_a_caller(ingest: Service) -> None:
    key = "0193a7c2-5f1e-7a55-9d0b-3c1c2b7ad9ef"
    headers = bearer("ingest", subject=key, tenant="demo", scopes=(READ, WRITE, REMOVING), now=NOON)
    async with client_of(ingest.app, headers) as caller:
        await ingest.send(*(event(n) for n in range(1, 5)), event(5, code=1), event(6, code=1))
        assert (await caller.delete(f"{V1}/events/{uuid(1)}")).status_code == 200
        body = {"operator": "vera", "box": "ivancov/8", "code": "2"}
        assert (await caller.post(REMOVE, json=body)).json()["ok"]
        drop, mend = [f"{QUARANTINE}/{quarantine_id(UUID(uuid(n)))}" for n in (5, 6)]
        assert (await caller.post(f"{drop}/drop", json={"reason": "x"})).status_code == 200
        assert (await caller.post(f"{mend}/mend", json=event(6))).status_code == 200
        await ingest.read_models.catch_up()

        query = {"date": "31.10.2025"}
        walked = await assert_lists_reveal_nothing(
            ingest.viewer, ingest.app.openapi(), [key], except_for=[("GET", STREAM)], query=query
        )
        for path in (drop, mend, f"{STATE}?date=31.10.2025&as_of=2030-01-01T00:00:00Z"):
            assert key not in (await ingest.viewer.get(path)).text, path

    assert len(walked) > 8
    state = await ingest.get(STATE, **query)
    assert "—" in [row["operator"] for row in state["operators"]]


async def test_no_response_to_a_get_can_be_cached_by_a_service_worker(ingest: Service) -> None:
    paths = [
        one.path.replace("{id}", uuid(1))
        for one in routes_of(ingest.app.openapi())
        if one.method == "GET" and one.path != STREAM
    ]
    for path in [*paths, "/api/v1/nothing", f"{STATE}?date=x"]:
        for client in (ingest.viewer, ingest.anonymous):
            answer = await client.get(path)
            headers = (answer.headers.get("vary"), answer.headers.get("cache-control"))
            assert headers == ("*", "no-store"), path


@pytest.mark.parametrize(
    ("path", "projections"),
    [
        ("dashboard/state", {"activity", "presence", "scan_log"}),
        ("dashboard/raw", {"scan_log"}),
        ("dashboard/boxes", {"box", "scan_log"}),
        ("deletions", {"removal"}),
        ("quarantine", {"quarantine"}),
        *((f"export/{kind}", {"scan_log"}) for kind in ("csv", "boxes-csv", "excel")),
    ],
)
async def test_a_response_older_than_the_token_is_marked_stale(
    ingest: Service, path: str, projections: set[str]
) -> None:
    await ingest.record(a_scan(1))
    token = {"X-Consistency-Token": "123"}

    path = f"{V1}/{path}"
    in_time = await ingest.viewer.get(path, headers=token)
    ingest.read_models.stale = True
    too_late = await ingest.viewer.get(path, headers=token)
    without_a_token = await ingest.viewer.get(path)

    assert {one.status_code for one in (in_time, too_late, without_a_token)} == {200}
    assert "x-stale" not in in_time.headers
    assert too_late.headers["x-stale"] == "1"
    assert "x-stale" not in without_a_token.headers
    assert ingest.read_models.waited_for == {(name, "123") for name in projections}


CODE = "4600000000017"
DAY = {"date": "2025-10-31"}
WAITING = str(quarantine_id(UUID(uuid(2))))
FOREIGN = {"uuid": uuid(1), "id": WAITING}
UNKNOWN = {"uuid": uuid(99), "id": str(UUID(int=99))}
BODIES = {
    ("POST", f"{QUARANTINE}/{{id}}/mend"): {"patch": {"operator": "mallory"}},
    ("POST", f"{QUARANTINE}/{{id}}/drop"): {"reason": "none of yours"},
}


def ids_in_bodies(ids: dict[str, str]) -> list[tuple[str, Any]]:
    return [
        (VERIFY, {"uuids": [ids["uuid"], ids["id"]]}),
        (BULK, {"operator": "mallory", "uuids": [ids["uuid"]]}),
        (REMOVE, {"operator": "mallory", "box": "ivancov/8", "code": CODE}),
        (f"{QUARANTINE}/replay", {"after": ids["id"]}),
        (f"{QUARANTINE}/replay", {"code": "bad_text"}),
    ]


async def fill(ingest: Service) -> None:
    """One of everything that `demo` can own: a scan, a quarantined event, a removed item."""
    await ingest.send(event(1, code=CODE), event(2, code=7), event(3))
    await ingest.remove(uuid(3))


async def seen(ingest: Service) -> Any:
    """All that the owner sees of what the ids name."""
    return [
        await ingest.get(RAW, **DAY),
        await ingest.get(DELETIONS, **DAY),
        await ingest.get(QUARANTINE, status="all"),
        await ingest.get(f"{QUARANTINE}/{WAITING}"),
    ]


async def test_a_foreign_id_is_an_unknown_id(ingest: Service) -> None:
    await fill(ingest)
    before = await seen(ingest)
    assert [one["total"] for one in before[:3]] == [2, 1, 1]
    document = ingest.app.openapi()

    walked = await assert_foreign_ids_are_unknown(
        ingest.stranger, document, foreign=FOREIGN, unknown=UNKNOWN, bodies=BODIES
    )
    for (path, theirs), (_, unused) in zip(
        ids_in_bodies(FOREIGN), ids_in_bodies(UNKNOWN), strict=True
    ):
        foreign = await ingest.stranger.post(path, json=theirs)
        unknown = await ingest.stranger.post(path, json=unused)
        assert (foreign.status_code, foreign.json()) == (200, unknown.json()), path

    assert len(walked) == 5
    assert await seen(ingest) == before


async def test_lists_contain_nothing_of_other_tenants(ingest: Service) -> None:
    await fill(ingest)
    secrets = [uuid(1), uuid(3), WAITING, "ivancov", "Novosem", "anna", CODE]

    walked = await assert_lists_reveal_nothing(
        ingest.stranger, ingest.app.openapi(), secrets, except_for=[("GET", STREAM)], query=DAY
    )

    for _, path in walked:
        if path not in PUBLIC | {EXCEL}:
            answer = await ingest.viewer.get(path, params=DAY)
            assert "ivancov" in answer.text, f"{path} shows its owner nothing either"
    rows = []
    for client in (ingest.stranger, ingest.viewer):
        book = openpyxl.load_workbook(io.BytesIO((await client.get(EXCEL, params=DAY)).content))
        rows.append(book.worksheets[0].max_row)
    assert rows == [1, 3]
