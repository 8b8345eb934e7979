"""A session that ends at the gateway is over in the services as well, over a real Kafka."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import aiohttp

from libs.testing.polling import eventually
from tests.e2e.conftest import EMAIL, PASSWORD
from tests.e2e.house import House

STATE = "/api/v1/dashboard/state"


async def logged_in(client: aiohttp.ClientSession, house: House) -> dict[str, str]:
    form = {"username": EMAIL, "password": PASSWORD}
    async with client.post(f"{house.gateway}/crm/api/v1/auth/token", data=form) as answer:
        assert answer.status == 200
        pair: dict[str, str] = await answer.json()
        return pair


async def pass_for(client: aiohttp.ClientSession, house: House, token: str) -> dict[str, str]:
    """What the gateway tells ingest of the token's session."""
    assert "X-API-Key" not in client.headers, "the key would count in place of the token"
    forwarded = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": STATE, **bearer(token)}
    async with client.get(f"{house.gateway}/auth/verify", headers=forwarded) as answer:
        assert answer.status == 200
        return {"Authorization": answer.headers["Authorization"]}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status(client: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> int:
    async with client.get(f"{url}{STATE}", headers=headers) as answer:
        return answer.status


@asynccontextmanager
async def watching(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
) -> AsyncIterator[aiohttp.StreamReader]:
    """A dashboard that watches, and has seen something."""
    async with client.get(f"{url}/api/v1/dashboard/stream", headers=headers) as answer:
        assert answer.status == 200
        await answer.content.readuntil(b"event: state")
        yield answer.content


async def knows_revocations(client: aiohttp.ClientSession, url: str) -> bool:
    """Whether the process knows all sessions that were revoked so far."""
    async with client.get(f"{url}/ready") as answer:
        checks = {one["name"]: one["detail"] for one in (await answer.json())["checks"]}
    return not checks["revocations"]


async def test_after_a_logout_neither_the_gateway_nor_any_service_accepts_the_session(
    house: House,
) -> None:
    async with aiohttp.ClientSession() as client:
        for url in (*house.ingests, house.gateway):
            await eventually(partial(knows_revocations, client, url))
        pair, another = await logged_in(client, house), await logged_in(client, house)
        passed = await pass_for(client, house, pair["access_token"])
        still = await pass_for(client, house, another["access_token"])
        assert await status(client, house.gateway, bearer(pair["access_token"])) == 200
        assert [await status(client, url, passed) for url in house.ingests] == [200, 200]
        # Each is good in its own place, and in no other.
        assert await status(client, house.gateway, passed) == 401
        assert await status(client, house.gateway, bearer(pair["refresh_token"])) == 401
        assert await status(client, house.ingests[0], bearer(pair["access_token"])) == 401

        async with watching(client, house.ingests[0], passed) as stream:
            ended = {"refresh_token": pair["refresh_token"]}
            async with client.post(f"{house.gateway}/api/v1/auth/logout", json=ended) as answer:
                assert answer.status == 200

            assert await status(client, house.gateway, bearer(pair["access_token"])) == 401
            for url in house.ingests:
                await eventually(partial(status, client, url, passed), 401)
            await stream.read()
        assert await status(client, house.gateway, bearer(another["access_token"])) == 200
        assert [await status(client, url, still) for url in house.ingests] == [200, 200]
