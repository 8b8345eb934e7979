"""A session that ends at the gateway is over in the services as well, over a real Kafka."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console

from tests.e2e.house import PATIENCE_SECONDS, House, open_house

EMAIL, PASSWORD = "anna@shop.example", "correct horse battery"
STATE = "/api/v1/dashboard/state"
PROMISE_SECONDS = 60
ADMIN = ("--email", EMAIL, "--realm", "crm", "--tenant", "demo", "--role", "ADMIN")


@pytest.fixture
def house(database: str, kafka_bootstrap: str) -> Iterator[House]:
    """Two processes of ingest; the gateway also says which pass it would hand on."""
    with tempfile.TemporaryDirectory(prefix="tillstream-house-") as home:
        password = Path(home) / "password"
        password.write_text(PASSWORD)
        told = {
            "GATEWAY_ADMIN_PASSWORD_FILE": str(password),
            "GATEWAY_VERIFY_NETWORKS": "127.0.0.1/32",
        }
        with open_house(database, kafka_bootstrap, Path(home), ingests=2, told=told) as made:
            made.run("services.gateway", "create-admin", *ADMIN)
            yield made


async def logged_in(client: aiohttp.ClientSession, house: House) -> dict[str, str]:
    form = {"username": EMAIL, "password": PASSWORD}
    async with client.post(f"{house.gateway}/crm/api/v1/auth/token", data=form) as answer:
        assert answer.status == 200
        pair: dict[str, str] = await answer.json()
        return pair


async def pass_for(client: aiohttp.ClientSession, house: House, token: str) -> dict[str, str]:
    """What the gateway tells ingest of whoever holds the token."""
    asked = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": STATE, **bearer(token)}
    async with client.get(f"{house.gateway}/auth/verify", headers=asked) as answer:
        assert answer.status == 200
        return {"Authorization": answer.headers["Authorization"]}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status(client: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> int:
    async with client.get(f"{url}{STATE}", headers=headers) as answer:
        return answer.status


async def until_refused(client: aiohttp.ClientSession, url: str, shown: Mapping[str, str]) -> float:
    """When the service at `url` refused, on the monotonic clock."""
    async with asyncio.timeout(PROMISE_SECONDS):
        while await status(client, url, shown) != 401:
            await asyncio.sleep(0.02)
    return time.monotonic()


@asynccontextmanager
async def watching(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
) -> AsyncIterator[aiohttp.StreamReader]:
    """A dashboard that watches, and has seen something."""
    async with client.get(f"{url}/api/v1/dashboard/stream", headers=headers) as answer:
        assert answer.status == 200
        await answer.content.readuntil(b"event: state")
        yield answer.content


async def ready(client: aiohttp.ClientSession, url: str) -> None:
    """Until the process knows all sessions that were revoked so far."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with client.get(f"{url}/ready") as answer:
                checks = {one["name"]: one["detail"] for one in (await answer.json())["checks"]}
            if not checks["revocations"]:
                return
            await asyncio.sleep(0.1)


@pytest.mark.timeout(240)
async def test_after_a_logout_neither_the_gateway_nor_any_service_believes_the_session(
    house: House,
) -> None:
    async with aiohttp.ClientSession() as client, AsyncExitStack() as stack:
        for url in (*house.ingests, house.gateway):
            await ready(client, url)
        pair, another = await logged_in(client, house), await logged_in(client, house)
        passed = await pass_for(client, house, pair["access_token"])
        still = await pass_for(client, house, another["access_token"])
        assert await status(client, house.gateway, bearer(pair["access_token"])) == 200
        assert [await status(client, url, passed) for url in house.ingests] == [200, 200]
        # Each is good in its own place, and in no other.
        assert await status(client, house.gateway, passed) == 401
        assert await status(client, house.gateway, bearer(pair["refresh_token"])) == 401
        assert await status(client, house.ingests[0], bearer(pair["access_token"])) == 401
        stream = await stack.enter_async_context(watching(client, house.ingests[0], passed))

        ended = {"refresh_token": pair["refresh_token"]}
        async with client.post(f"{house.gateway}/api/v1/auth/logout", json=ended) as answer:
            assert answer.status == 200
        since = time.monotonic()

        assert await status(client, house.gateway, bearer(pair["access_token"])) == 401
        refused = await asyncio.gather(
            *(until_refused(client, url, passed) for url in house.ingests)
        )
        async with asyncio.timeout(PROMISE_SECONDS):
            await stream.read()
        Console().print("seconds until ingest refuses:", *(f"{at - since:.2f}" for at in refused))
        assert await status(client, house.gateway, bearer(another["access_token"])) == 200
        assert [await status(client, url, still) for url in house.ingests] == [200, 200]
