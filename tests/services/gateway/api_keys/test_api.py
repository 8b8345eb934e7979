"""API keys in the hands of administrators, from the first request to the door."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from httpx import Response

from libs.security.api_keys import hash_key
from services.gateway.api_keys.read_models import caller_of
from tests.services.gateway.harness import (
    CHIEF,
    MANAGER,
    MOST_STALE_SECONDS,
    Harness,
    demo_on,
    limit_of,
    projecting,
)

KEYS = "/api/v1/keys"
STATE = "/api/v1/dashboard/state"
READER: dict[str, Any] = {"name": "office", "scopes": ["scan:read"]}


class Chief:
    """An administrator of the platform, and what they ask."""

    def __init__(self, demo: Harness, headers: dict[str, str]) -> None:
        self.demo = demo
        self.headers = headers

    async def ask(self, method: str, path: str = "", **more: Any) -> Response:
        return await self.demo.client.request(method, KEYS + path, headers=self.headers, **more)

    async def make(self, **different: Any) -> Any:
        """A key that the doors know."""
        made = await self.ask("POST", json=READER | different)
        assert made.status_code == 201
        await self.demo.catch_up()
        return made.json()

    async def get(self, key: Any) -> Any:
        return (await self.ask("GET", f"/{key['key_id']}")).json()

    async def enter(self, key: str) -> int:
        """What the door says to a key; 503 if it opens, for there is no service behind it."""
        return (await self.demo.client.get(STATE, headers={"X-API-Key": key})).status_code


@pytest.fixture
async def chief(demo: Harness) -> Chief:
    return Chief(demo, await demo.header_of(CHIEF))


async def test_a_key_is_displayed_once_and_listed_without_its_secret(
    demo: Harness, chief: Chief
) -> None:
    until = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
    more = {"expires_at": until.isoformat(), "requests_per_minute": 60}

    made = await chief.ask("POST", json=READER | more)
    await demo.catch_up()
    path = f"/{made.json()['key_id']}"
    one, every = await chief.ask("GET", path), await chief.ask("GET")

    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.headers["Location"] == KEYS + path
    key = made.json()["key"]
    assert key.startswith(one.json()["prefix"])
    assert key not in one.text + every.text
    assert hash_key(key) not in one.text + every.text
    assert one.json() in every.json()["keys"]
    assert datetime.fromisoformat(one.json()["expires_at"]) == until
    fields = ("name", "requests_per_minute", "active", "last_used_at")
    assert [one.json()[field] for field in fields] == ["office", 60, True, None]


async def test_a_key_opens_until_revoked_and_says_when_it_did(demo: Harness, chief: Chief) -> None:
    made = await chief.make()
    opened = await chief.enter(made["key"])
    await demo.deps.key_uses.write()
    used = await chief.get(made)

    taken = [(await chief.ask("DELETE", f"/{made['key_id']}")).status_code for _ in range(2)]
    await demo.catch_up()
    get = await chief.get(made)

    assert opened == 503
    assert used["last_used_at"] is not None
    assert taken == [204, 204]
    assert await chief.enter(made["key"]) == 401
    assert (get["active"], get["revoked_because"]) == (False, "revoked by an administrator")


async def test_a_key_opens_as_soon_as_it_was_answered(url: str) -> None:
    async with demo_on(url, stale_wait_seconds=MOST_STALE_SECONDS) as harness:
        chief = Chief(harness, await harness.header_of(CHIEF))
        async with projecting(harness.deps):
            made = await chief.ask("POST", json=READER)
            opened = await chief.enter(made.json()["key"])

    assert opened == 503


async def test_an_expired_key_is_refused_like_an_unknown_one(demo: Harness, chief: Chief) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = await chief.make(expires_at=soon)
    before = await chief.enter(made["key"])
    await demo.deps.system.execute(
        "UPDATE api_key SET expires_at = now() - interval '1 second' WHERE hash = $1",
        hash_key(made["key"]),
    )
    after, unknown = [
        await chief.demo.client.get(STATE, headers={"X-API-Key": key})
        for key in (made["key"], "x" * 32)
    ]

    assert before == 503
    assert (after.status_code, after.text) == (401, unknown.text)
    assert (await chief.get(made))["active"] is False


async def test_a_key_with_a_limit_of_its_own_is_held_to_it(chief: Chief) -> None:
    made = await chief.make(requests_per_minute=2)

    assert [await chief.enter(made["key"]) for _ in range(2)] == [503, 503]
    over = await chief.demo.client.get(STATE, headers={"X-API-Key": made["key"]})
    assert over.status_code == 429
    assert limit_of(over) == "own"


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": []},
        {"scopes": ["accounts:*"]},
        {"scopes": ["keys:*"]},
        {"scopes": ["scan:fly"]},
        {"scopes": ["no scope"]},
        {"name": " "},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"requests_per_minute": 0},
        {"tenant": "Demo; drop"},
        {"tenant": "платформа"},
        {"more": 1},
    ],
)
async def test_an_unfit_key_is_not_issued(chief: Chief, wrong: dict[str, Any]) -> None:
    answer = await chief.ask("POST", json=READER | wrong)

    assert answer.status_code == 422
    assert "key" not in answer.json()


async def test_only_administrators_of_the_platform_touch_keys(demo: Harness, chief: Chief) -> None:
    made = await chief.make()
    approver = await demo.header_of(MANAGER)
    one = f"/{made['key_id']}"
    routes: list[tuple[str, str, Any]] = [
        *(("GET", "", None), ("POST", "", READER), ("GET", one, None), ("DELETE", one, None)),
    ]

    for headers, status in ((approver, 403), ({}, 401), ({"X-API-Key": made["key"]}, 401)):
        other = Chief(demo, headers)
        for method, path, body in routes:
            assert (await other.ask(method, path, json=body)).status_code == status

    assert await caller_of(demo.deps.system, hash_key(made["key"])) is not None


async def test_the_key_of_one_tenant_is_not_there_in_another(chief: Chief) -> None:
    path = f"/{(await chief.make(tenant='shop-1'))['key_id']}"
    there = {"tenant": "shop-1"}

    for method, where, params, status in (
        ("GET", path, there, 200),
        ("GET", path, {}, 404),
        ("DELETE", path, {}, 404),
        ("GET", "", {"tenant": "platform"}, 404),
        ("GET", f"/{uuid4()}", {}, 404),
    ):
        answer = await chief.ask(method, where, params=params)
        assert answer.status_code == status, (method, where, params)
    listed = await chief.ask("GET", params=there)
    assert [one["active"] for one in listed.json()["keys"]] == [True]
