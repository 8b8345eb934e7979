"""Conditions and tags pass the doors as they are; and who waits for a scale may wait longer."""

import asyncio
from dataclasses import replace
from typing import Any, Final

import pytest
from aiohttp import web

from libs.testing.waiting import PATIENCE_SECONDS
from services.gateway.domain.door import Limit, Rule, find
from services.gateway.domain.doors import DOORS, SCALES
from tests.services.gateway.api.doorstep import doorstep
from tests.services.gateway.api.inside import bearer
from tests.services.gateway.conftest import PAGE, Keys, Service

CONDITIONS: Final = (replace(SCALES, service="ingest"),)
COPY: Final = "/devices/7/products/cached"
RULES = (
    Rule(("GET", "POST"), "/quick", "scan:read", Limit.NONE),
    Rule(("GET", "POST"), "/slow", "scan:read", Limit.NONE, slow=True),
)
SLOW: Final = (replace(SCALES, service="ingest", rules=RULES),)


async def _tagged(request: web.BaseRequest) -> web.StreamResponse:
    if request.method == "PATCH":
        status = 200 if request.headers.get("If-Match") == '"1", W/"x"' else 412
        return web.json_response({"detail": "no"}, status=status, headers={"ETag": '"2"'})
    if request.headers.get("If-None-Match") == 'W/"1"':
        return web.Response(status=304, headers={"ETag": '"1"'})
    return web.json_response({}, headers={"ETag": '"1"', "Link": '<?cursor=x>; rel="next"'})


async def test_who_has_an_answer_is_told_so_in_no_words(service: Service, keys: Keys) -> None:
    service.answer = _tagged
    async with doorstep(service, keys, doors=CONDITIONS) as step:
        headers = {**bearer(step.token("scales:read")), "Origin": PAGE}
        for path in (COPY, f"/scales{COPY}"):
            whole = await step.client.get(path, headers=headers)
            again = await step.client.get(path, headers={**headers, "If-None-Match": 'W/"1"'})

            assert (whole.status_code, whole.headers["ETag"]) == (200, '"1"')
            assert whole.headers["Link"] == '<?cursor=x>; rel="next"'
            assert (again.status_code, again.headers["ETag"]) == (304, '"1"')
            assert again.content == b""
            exposed = whole.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"ETag", "Link"} <= {*exposed}


@pytest.mark.parametrize(("tags", "status"), [('"1", W/"x"', 200), ('"0"', 412)])
async def test_a_change_is_made_of_what_was_seen_only(
    service: Service, keys: Keys, tags: str, status: int
) -> None:
    service.answer = _tagged
    async with doorstep(service, keys, doors=CONDITIONS) as step:
        headers = {**bearer(step.token("scales:write")), "If-Match": tags}
        path = "/scales/devices/7/products/1"
        answer = await step.client.patch(path, headers=headers, json={"fields": {}})

    assert (answer.status_code, answer.headers["ETag"]) == (status, '"2"')
    assert answer.json() == {"detail": "no"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "slow_seconds", "status"),
    [("/quick", PATIENCE_SECONDS, 504), ("/slow", PATIENCE_SECONDS, 200), ("/slow", 0.2, 504)],
)
async def test_a_slow_route_has_time_of_its_own_and_no_more(
    service: Service, keys: Keys, method: str, path: str, slow_seconds: float, status: int
) -> None:
    async def late(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(1.2)
        return web.json_response({"status": "ok"})

    service.answer = late
    different: dict[str, Any] = {
        "doors": SLOW,
        "answer_seconds": 0.2,
        "slow_answer_seconds": slow_seconds,
        # Between the parts of an answer less is enough, also where its beginning takes long.
        "idle_seconds": 0.9,
    }
    async with doorstep(service, keys, **different) as step:
        headers = bearer(step.token())
        answer = await step.client.request(method, f"/scales{path}", headers=headers)

    assert answer.status_code == status
    assert len(service.asked) == 1


def test_those_that_speak_to_a_scale_before_they_answer_are_slow() -> None:
    slow = {(door.name, rule.path) for door in DOORS for rule in door.rules if rule.slow}

    rests = ("products", "upload", "verify", "probe")
    assert slow == {("scales", f"/devices/{{}}/{rest}") for rest in rests}


@pytest.mark.parametrize("path", ["/scales/bridges", "/bridges"])
def test_bridges_are_listed_with_the_doors_prefix_and_without(path: str) -> None:
    found = find(DOORS, "GET", path)

    assert (found.door.name, found.path, found.rule.scope) == ("scales", "/bridges", "scales:read")
