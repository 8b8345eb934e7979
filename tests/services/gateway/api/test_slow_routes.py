"""Whoever waits for a scale may wait longer than for a database, and nobody else may."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from services.gateway.domain.door import Door, Limit, Rule, find
from services.gateway.domain.doors import DOORS, SCALES
from tests.services.gateway.api.doorstep import bearer, doorstep
from tests.services.gateway.conftest import Keys, Service

RULES = (
    Rule(("GET", "POST"), "/quick", "scan:read", Limit.NONE),
    Rule(("GET", "POST"), "/slow", "scan:read", Limit.NONE, slow=True),
)
DOOR: Door = replace(SCALES, service="ingest", rules=RULES)


async def _late(_: web.BaseRequest) -> web.StreamResponse:
    await asyncio.sleep(0.6)
    return web.json_response({"status": "ok"})


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("path", "status"), [("/scales/quick", 504), ("/scales/slow", 200)])
async def test_a_slow_route_has_time_of_its_own(
    service: Service, keys: Keys, method: str, path: str, status: int
) -> None:
    service.answer = _late
    different: dict[str, Any] = {
        "doors": (DOOR,),
        "answer_seconds": 0.2,
        "slow_answer_seconds": 20.0,
        # Between the parts of an answer less is enough, also where its beginning takes long.
        "idle_seconds": 0.3,
    }
    async with doorstep(service, keys, **different) as step:
        answer = await step.client.request(method, path, headers=bearer(step.token()))

    assert answer.status_code == status
    assert len(service.asked) == 1


async def test_its_time_is_over_too(service: Service, keys: Keys) -> None:
    service.answer = _late
    async with doorstep(service, keys, doors=(DOOR,), slow_answer_seconds=0.2) as step:
        answer = await step.client.get("/scales/slow", headers=bearer(step.token()))

    assert answer.status_code == 504


def test_those_that_speak_to_a_scale_before_they_answer_are_slow() -> None:
    slow = {(door.name, rule.path) for door in DOORS for rule in door.rules if rule.slow}

    rests = ("products", "upload", "verify", "probe")
    assert slow == {("scales", f"/devices/{{}}/{rest}") for rest in rests}


@pytest.mark.parametrize("path", ["/scales/bridges", "/bridges"])
def test_bridges_are_listed_with_the_doors_prefix_and_without(path: str) -> None:
    found = find(DOORS, "GET", path)

    assert (found.door.name, found.path, found.rule.scope) == ("scales", "/bridges", "scales:read")
