"""Who knows ids of another tenant learns and changes no more than with ids that do not exist.

Every rule of the door `scan` is tried through the gateway. The same is proven of every route
beside the services themselves, from their OpenAPI documents.
"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import aiohttp

from libs.testing.waiting import eventually
from services.gateway.domain.doors import SCAN
from tests.e2e.house import House
from tests.e2e.scans import BATCH, DAY, QUARANTINE, VERIFY, asked, get, scan

Ids = tuple[str, str]
"""Of a scan, and of an event that waits in quarantine."""


def requests(ids: Ids) -> Iterator[tuple[str, str, Any]]:
    """Everything with an id in its path or body, with the bodies that would do the most."""
    for rule in SCAN.rules:
        for method in set(rule.methods) - {"HEAD"} if "{}" in rule.path else ():
            known = ids[rule.path.startswith(QUARANTINE)]
            body = {"patch": {"operator": "mallory"}, "reason": "none of yours"}
            yield method, rule.path.replace("{}", known), body if method == "POST" else None
    yield "POST", VERIFY, {"uuids": [*ids]}
    events = "/api/v1/events"
    yield "POST", f"{events}/bulk-remove", {"operator": "mallory", "uuids": [ids[0]]}
    yield "POST", f"{events}/remove", {"operator": "mallory", "box": "ivancov/8", "code": "4600"}
    yield "POST", f"{QUARANTINE}/replay", {"after": ids[1]}


async def test_a_foreign_key_learns_and_changes_nothing(
    house: House, client: aiohttp.ClientSession
) -> None:
    async with house.client_with(house.key) as owner:
        good, bad = scan(), scan(ts="never")
        status, _ = await asked(owner, "POST", BATCH, json={"events": [good, bad]})
        assert status == 200
        waiting = await eventually(lambda: _waiting(owner, bad["uuid"]))
        known, unknown = (good["uuid"], str(waiting)), (str(uuid4()), str(uuid4()))
        before = await _seen(owner, known)

        for theirs, nobodys in zip(requests(known), requests(unknown), strict=True):
            answers = [
                await asked(client, method, path, json=body)
                for method, path, body in (theirs, nobodys)
            ]
            texts = [
                str(answer).replace(ids[0], "…").replace(ids[1], "…")
                for answer, ids in zip(answers, (known, unknown), strict=True)
            ]
            assert texts[0] == texts[1], theirs
            in_path = any(one in theirs[1] for one in known)
            assert (answers[0][0] == 404) is in_path, theirs
        for path in _lists():
            async with client.get(path, params={"date": DAY}) as answer:
                text = (await answer.read()).decode("latin-1")
            assert answer.status in (200, 400, 422), path
            assert not [one for one in (*known, "ivancov", "4600") if one in text], path

        assert await _seen(owner, known) == before


def _lists() -> list[str]:
    return [
        rule.path
        for rule in SCAN.rules
        if "GET" in rule.methods and rule.scope and "{}" not in rule.path
        if not rule.path.endswith("/stream")
    ]


async def _waiting(owner: aiohttp.ClientSession, uuid: str) -> str | None:
    """The id of the event in quarantine, once it can be seen."""
    events = (await get(owner, QUARANTINE, limit="1000"))["events"]
    return next((str(one["id"]) for one in events if one["uuid"] == uuid), None)


async def _seen(owner: aiohttp.ClientSession, known: Ids) -> Any:
    """All that the owner sees of what the ids name."""
    return [
        (await asked(owner, "POST", VERIFY, json={"uuids": [known[0]]}))[1]["present"],
        await get(owner, f"{QUARANTINE}/{known[1]}"),
        await get(owner, f"/api/v1/deletions?date={DAY}"),
        await get(owner, QUARANTINE),
    ]
