"""Texts that databases and encoders choke on are refused, never a mistake of ours."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from services.gateway.domain.realm import DEVICE, SUPERADMIN, Realm
from tests.services.gateway.api.people import (
    PASSWORD,
    a_client,
    a_gateway,
    entered,
    opened,
    some_email,
    some_name,
)

STRANGE = pytest.mark.parametrize("strange", ["ab\\u0000cd1234", "ab\\ud800cd1234"])


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with a_gateway(url) as made:
        yield made


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with a_client(deps) as made:
        yield made


async def sent(client: AsyncClient, path: str, body: str, says: dict[str, str]) -> int:
    headers = {"Content-Type": "application/json", **says}
    return (await client.post(path, content=body, headers=headers)).status_code


def texts(body: dict[str, Any], field: str, strange: str) -> str:
    parts = [f'"{name}": "{strange if name == field else said}"' for name, said in body.items()]
    return "{" + ", ".join(parts) + "}"


@STRANGE
async def test_at_the_kiosks(deps: Deps, client: AsyncClient, strange: str) -> None:
    boss = await entered(deps, Realm.KIOSK, SUPERADMIN)
    kiosk = await opened(deps, Realm.KIOSK, DEVICE)
    logging_in = {"username": kiosk.person.username, "password": PASSWORD, "device_id": "hall"}
    new = {"username": some_name(), "password": PASSWORD, "email": some_email(), "phone": "8 800"}

    for field in logging_in:
        body = texts(logging_in, field, strange)
        for path in ("/api/v1/kiosk/login", "/api/v1/auth/login"):
            assert await sent(client, path, body, {}) in (200, 401, 422)
    for field in new:
        body = texts({**new, "username": some_name(), "email": some_email()}, field, strange)
        status = await sent(client, "/api/v1/users/create-admin", body, boss.says)
        assert status in (200, 422)


@STRANGE
async def test_at_the_crm(deps: Deps, client: AsyncClient, strange: str) -> None:
    boss = await entered(deps, Realm.CRM, "ADMIN")
    new = {"email": "", "password": PASSWORD, "full_name": "Anna", "phone": "8 800"}

    for field in new:
        body = texts({**new, "email": some_email(), "role": "ENGINEER"}, field, strange)
        assert await sent(client, "/api/v1/users", body, boss.says) in (201, 422)
    body = texts({"refresh_token": ""}, "refresh_token", strange)
    assert await sent(client, "/api/v1/auth/refresh", body, {}) in (401, 422)
    assert await sent(client, "/api/v1/auth/logout", body, {}) in (200, 422)
