"""API keys in the hands of administrators, from the first request to the door."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient

from libs.security.api_keys import hash_key
from services.gateway.deps import Deps
from services.gateway.read_models.api_key import caller_of
from tests.services.gateway.api.inside import (
    CHIEF,
    MANAGER,
    as_somebody,
    catch_up,
    client_of,
    gateway_on,
)

KEYS = "/api/v1/keys"
STATE = "/api/v1/dashboard/state"
READER: dict[str, Any] = {"name": "office", "scopes": ["scan:read"]}


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with gateway_on(url, key_fresh_seconds=0) as opened:
        yield opened


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with client_of(deps) as opened:
        yield opened


@pytest.fixture
async def chief(deps: Deps) -> dict[str, str]:
    return await as_somebody(deps, CHIEF)


async def test_a_key_is_shown_once_and_listed_without_it(
    deps: Deps, client: AsyncClient, chief: dict[str, str]
) -> None:
    until = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
    asked = READER | {"expires_at": until.isoformat(), "requests_per_minute": 60}

    made = await client.post(KEYS, json=asked, headers=chief)
    await catch_up(deps)
    one = await client.get(f"{KEYS}/{made.json()['key_id']}", headers=chief)
    all_of_them = await client.get(KEYS, headers=chief)

    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.headers["Location"] == f"{KEYS}/{made.json()['key_id']}"
    key = made.json()["key"]
    assert key.startswith(one.json()["prefix"])
    assert key not in one.text + all_of_them.text
    assert hash_key(key) not in one.text + all_of_them.text
    assert one.json() in all_of_them.json()["keys"]
    assert datetime.fromisoformat(one.json()["expires_at"]) == until
    assert (one.json()["requests_per_minute"], one.json()["active"]) == (60, True)
    assert one.json()["last_used_at"] is None


async def test_a_key_opens_the_door_until_it_is_taken_back_and_says_when_it_did(
    deps: Deps, client: AsyncClient, chief: dict[str, str]
) -> None:
    made = (await client.post(KEYS, json=READER, headers=chief)).json()
    await catch_up(deps)
    opened = await client.get(STATE, headers={"X-API-Key": made["key"]})
    await deps.key_uses.write()
    used = (await client.get(f"{KEYS}/{made['key_id']}", headers=chief)).json()

    taken = [await client.delete(f"{KEYS}/{made['key_id']}", headers=chief) for _ in range(2)]
    await catch_up(deps)
    after = await client.get(STATE, headers={"X-API-Key": made["key"]})
    shown = (await client.get(f"{KEYS}/{made['key_id']}", headers=chief)).json()

    # There is no service behind it here: the door was open.
    assert opened.status_code == 503
    assert used["last_used_at"] is not None
    assert [answer.status_code for answer in taken] == [204, 204]
    assert after.status_code == 401
    assert (shown["active"], shown["revoked_because"]) == (False, "revoked by an administrator")


async def test_a_key_that_ran_out_is_refused_like_a_revoked_one(
    deps: Deps, client: AsyncClient, chief: dict[str, str]
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    made = (await client.post(KEYS, json=READER | {"expires_at": soon}, headers=chief)).json()
    await catch_up(deps)
    before = await client.get(STATE, headers={"X-API-Key": made["key"]})
    await deps.pool.execute(
        "UPDATE api_key SET expires_at = now() - interval '1 second' WHERE hash = $1",
        hash_key(made["key"]),
    )
    after = await client.get(STATE, headers={"X-API-Key": made["key"]})
    shown = (await client.get(f"{KEYS}/{made['key_id']}", headers=chief)).json()
    unknown = await client.get(STATE, headers={"X-API-Key": "x" * 32})

    assert before.status_code == 503
    assert (after.status_code, after.text) == (unknown.status_code, unknown.text)
    assert after.status_code == 401
    assert shown["active"] is False


async def test_a_key_with_a_limit_of_its_own_is_held_to_it(
    deps: Deps, client: AsyncClient, chief: dict[str, str]
) -> None:
    asked = READER | {"requests_per_minute": 2}
    made = (await client.post(KEYS, json=asked, headers=chief)).json()
    await catch_up(deps)

    answers = [await client.get(STATE, headers={"X-API-Key": made["key"]}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


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
async def test_a_key_that_should_not_be_is_not_made(
    deps: Deps, client: AsyncClient, chief: dict[str, str], wrong: dict[str, Any]
) -> None:
    answer = await client.post(KEYS, json=READER | wrong, headers=chief)

    assert answer.status_code == 422
    assert "key" not in answer.json()


async def test_only_administrators_of_the_platform_touch_keys(
    deps: Deps, client: AsyncClient, chief: dict[str, str]
) -> None:
    made = (await client.post(KEYS, json=READER, headers=chief)).json()
    await catch_up(deps)
    manager = await as_somebody(deps, MANAGER)
    paths = [("GET", KEYS), ("POST", KEYS)]
    paths += [(method, f"{KEYS}/{made['key_id']}") for method in ("GET", "DELETE")]

    for headers, status in ((manager, 403), ({}, 401), ({"X-API-Key": made["key"]}, 401)):
        for method, path in paths:
            json = READER if method == "POST" else None
            answer = await client.request(method, path, json=json, headers=headers)
            assert answer.status_code == status, (method, path)

    assert await caller_of(deps.pool, hash_key(made["key"])) is not None


async def test_the_key_of_one_tenant_is_not_there_in_another(
    deps: Deps, client: AsyncClient, chief: dict[str, str]
) -> None:
    made = await client.post(KEYS, json=READER | {"tenant": "shop-1"}, headers=chief)
    await catch_up(deps)
    path = f"{KEYS}/{made.json()['key_id']}"

    here = await client.get(path, params={"tenant": "shop-1"}, headers=chief)
    elsewhere = await client.get(path, headers=chief)
    taken = await client.delete(path, headers=chief)
    listed = await client.get(KEYS, params={"tenant": "shop-1"}, headers=chief)
    house = await client.get(KEYS, params={"tenant": "platform"}, headers=chief)

    assert here.status_code == 200
    assert elsewhere.status_code == 404
    assert taken.status_code == 404
    assert house.status_code == 404
    assert [one["active"] for one in listed.json()["keys"]] == [True]
    assert (await client.get(f"{KEYS}/{uuid4()}", headers=chief)).status_code == 404
