"""Whoever knows an id of another tenant learns and changes no more than with one that is nobody's.

Every rule of the door `scan` whose path holds an id must be in the table here. What is behind the
door `scales` is tried in tests/services/scale_bridge/api/test_foreign.py.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from services.gateway.domain.doors import SCAN
from tests.e2e.house import KEY, PATIENCE_SECONDS, House, open_house, post_until_known

pytestmark = pytest.mark.timeout(240)

TS = 1_761_901_200_000
DAY = "2025-10-31"
QUARANTINE = "/api/v1/quarantine"
SCOPES = ("scan:read", "scan:write", "scan:remove")


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """Ids of one tenant: of a scan, and of an event that waits in quarantine."""

    scan: str
    waiting: str


NOBODYS = Known(scan=str(uuid4()), waiting=str(uuid4()))

IN_PATHS: Mapping[tuple[str, str], tuple[str, Any]] = {
    ("DELETE", "/api/v1/events/{}"): ("scan", None),
    ("GET", f"{QUARANTINE}/{{}}"): ("waiting", None),
    ("POST", f"{QUARANTINE}/{{}}/mend"): ("waiting", {"patch": {"operator": "mallory"}}),
    ("POST", f"{QUARANTINE}/{{}}/replay"): ("waiting", None),
    ("POST", f"{QUARANTINE}/{{}}/drop"): ("waiting", {"reason": "none of yours"}),
}
"""Which id to put where, and the body that would do the most."""


def in_bodies(known: Known) -> list[tuple[str, Any]]:
    """The routes that take ids in a body."""
    return [
        ("/api/v1/events/verify", {"uuids": [known.scan, known.waiting]}),
        ("/api/v1/events/bulk-remove", {"operator": "mallory", "uuids": [known.scan]}),
        ("/api/v1/events/remove", {"operator": "mallory", "box": "ivancov/8", "code": "4600"}),
        (f"{QUARANTINE}/replay", {"after": known.waiting}),
    ]


def scan(**changes: Any) -> dict[str, Any]:
    told = {"uuid": str(uuid4()), "ts": TS, "type": "ITEM", "operator": "anna", "code": "4600"}
    return {**told, "client": "ivancov", "city": "N", "box": "ivancov/8", **changes}


@pytest.fixture
def house(database: str, kafka_bootstrap: str) -> Iterator[House]:
    with (
        tempfile.TemporaryDirectory(prefix="tillstream-house-") as home,
        open_house(database, kafka_bootstrap, Path(home)) as made,
    ):
        yield made


@pytest.fixture
async def owner(house: House) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody of the tenant `demo`."""
    await post_until_known(house.gateway, {"uuids": ["x"]})
    async with aiohttp.ClientSession(house.gateway, headers={"X-API-Key": KEY}) as client:
        yield client


@pytest.fixture
async def spy(house: House) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody who may do everything, for the tenant `other`."""
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    told = await asyncio.to_thread(
        house.run, "services.gateway", "keys", "issue", "spy", *scopes, "--tenant", "other"
    )
    key = told.split("key ")[-1].split()[0]
    async with aiohttp.ClientSession(house.gateway, headers={"X-API-Key": key}) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await asked(client, "GET", QUARANTINE))[0] != 200:
                await asyncio.sleep(0.1)
        yield client


async def asked(
    client: aiohttp.ClientSession, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    async with client.request(method, path, json=body) as answer:
        return answer.status, await answer.json()


async def filled(owner: aiohttp.ClientSession) -> Known:
    """The owner's ids, once they can be seen."""
    good, bad = scan(), scan(ts="never")
    assert (await asked(owner, "POST", "/api/v1/events/batch", {"events": [good, bad]}))[0] == 200
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (waiting := (await asked(owner, "GET", QUARANTINE))[1]["events"]):
            await asyncio.sleep(0.1)
    return Known(scan=good["uuid"], waiting=waiting[0]["id"])


async def seen(owner: aiohttp.ClientSession, known: Known) -> Any:
    """All that the owner sees of what the ids name."""
    return [
        await asked(owner, "POST", "/api/v1/events/verify", {"uuids": [known.scan]}),
        await asked(owner, "GET", f"{QUARANTINE}/{known.waiting}"),
        await asked(owner, "GET", f"/api/v1/deletions?date={DAY}"),
        await asked(owner, "GET", QUARANTINE),
    ]


def without(ids: Known, told: tuple[int, Any]) -> str:
    """An answer, with the ids that were asked for taken out of it."""
    return str(told).replace(ids.scan, "…").replace(ids.waiting, "…")


def test_every_rule_with_an_id_in_its_path_is_tried() -> None:
    rules = {
        (method, rule.path)
        for rule in SCAN.rules
        for method in rule.methods
        if "{}" in rule.path and method != "HEAD"
    }

    assert rules == IN_PATHS.keys()


async def test_a_foreign_id_is_nobodys_id(
    owner: aiohttp.ClientSession, spy: aiohttp.ClientSession
) -> None:
    known = await filled(owner)
    before = await seen(owner, known)
    assert [status for status, _ in before] == [200] * len(before)

    for (method, path), (which, body) in IN_PATHS.items():
        foreign, nobodys = [
            (ids, await asked(spy, method, path.replace("{}", getattr(ids, which)), body))
            for ids in (known, NOBODYS)
        ]
        assert foreign[1][0] == 404, path
        assert without(*foreign) == without(*nobodys), path
    for (path, theirs), (_, nobodys_body) in zip(in_bodies(known), in_bodies(NOBODYS), strict=True):
        foreign, nobodys = [
            (ids, await asked(spy, "POST", path, body))
            for ids, body in ((known, theirs), (NOBODYS, nobodys_body))
        ]
        assert without(*foreign) == without(*nobodys), path

    assert await seen(owner, known) == before


async def test_lists_hold_nothing_of_others(
    owner: aiohttp.ClientSession, spy: aiohttp.ClientSession
) -> None:
    known = await filled(owner)
    rules = [
        rule.path
        for rule in SCAN.rules
        if "GET" in rule.methods and rule.scope and "{}" not in rule.path
    ]

    for path in rules:
        if path.endswith("/stream"):
            continue
        async with spy.get(path, params={"date": DAY}) as answer:
            text = (await answer.read()).decode("latin-1")
        assert answer.status in (200, 400, 422), path
        for theirs in (known.scan, known.waiting, "ivancov", "4600"):
            assert theirs not in text, path
