"""Who could log in to a gateway of before the renames still can, and keys open what they did."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from httpx import AsyncClient

from libs.testing.clock import Clock
from libs.testing.read_models import apply, clear, rows_of
from services.gateway import bootstrap
from services.gateway.context import Deps
from tests.services.gateway.app import Service
from tests.services.gateway.harness import client_of, gateway_on
from tests.services.gateway.identities import TABLES, history_of
from tests.services.installation import PASSWORD, SECRETS, STOPPED_AT, restore

TOKENS: Final = SECRETS["refresh_tokens"]
OFFICE: Final = SECRETS["office_password"]
LOGINS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "platform": (
        "/api/v1/platform/login",
        {"json": {"email": "root@shop.example", "password": PASSWORD}},
    ),
    "kiosk, superadmin": (
        "/kiosk/api/v1/auth/login",
        {"json": {"username": "boss", "password": PASSWORD}},
    ),
    "kiosk, admin": (
        "/kiosk/api/v1/auth/login",
        {"json": {"username": "admin1", "password": PASSWORD}},
    ),
    "kiosk, device": (
        "/kiosk/api/v1/kiosk/login",
        {"json": {"username": "kiosk1", "password": PASSWORD}},
    ),
    "crm, admin": (
        "/crm/api/v1/auth/token",
        {"data": {"username": "crm@shop.example", "password": PASSWORD}},
    ),
    "crm, engineer": (
        "/crm/api/v1/auth/token",
        {"data": {"username": "eng@shop.example", "password": PASSWORD}},
    ),
    "scales": ("/auth/login", {"data": {"username": "office@shop.example", "password": OFFICE}}),
}
REFRESHES: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "platform": ("/api/v1/platform/refresh", {"json": {"refresh_token": TOKENS["platform"]}}),
    "kiosk, device": ("/kiosk/api/v1/kiosk/refresh", {"json": {"refresh_token": TOKENS["kiosk"]}}),
    "kiosk, staff": (
        "/kiosk/api/v1/auth/refresh",
        {"headers": {"Cookie": f"refresh_token={TOKENS['kiosk_staff']}"}},
    ),
    "crm, admin": ("/crm/api/v1/auth/refresh", {"json": {"refresh_token": TOKENS["crm"]}}),
    "crm, engineer": ("/crm/api/v1/auth/refresh", {"json": {"refresh_token": TOKENS["engineer"]}}),
}


@pytest.fixture
async def deps(empty_database: str, tmp_path: Path, service: Service) -> AsyncIterator[Deps]:
    """The gateway on the old database, a minute after it was stopped."""
    await restore("gateway", empty_database, tmp_path)
    async with gateway_on(
        empty_database,
        ingest_url=service.url,
        seal_keys=SECRETS["gateway_seal_keys"],
        refresh_key=SECRETS["gateway_refresh_key"],
    ) as opened:
        clock = Clock(STOPPED_AT + timedelta(minutes=1))
        yield replace(opened, identity=replace(opened.identity, clock=clock))


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with client_of(deps) as opened:
        yield opened


@pytest.mark.parametrize("who", LOGINS)
async def test_passwords_of_before_let_in(client: AsyncClient, who: str) -> None:
    path, request = LOGINS[who]
    answer = await client.post(path, **request)

    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"]


async def test_who_was_deactivated_and_who_is_wrong_stay_out(client: AsyncClient) -> None:
    for name, password in (("gone@shop.example", PASSWORD), ("eng@shop.example", "wrong")):
        form = {"username": name, "password": password}
        assert (await client.post("/crm/api/v1/auth/token", data=form)).status_code == 401


@pytest.mark.parametrize("who", REFRESHES)
async def test_refresh_tokens_of_before_are_exchanged(client: AsyncClient, who: str) -> None:
    path, request = REFRESHES[who]
    answer = await client.post(path, **request)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("name", "status"), [("full", 200), ("reader", 200), ("revoked", 401)])
async def test_api_keys_of_before_open_what_they_did(
    client: AsyncClient, name: str, status: int
) -> None:
    headers = {"X-API-Key": SECRETS["api_keys"][name]}

    answer = await client.get("/api/v1/dashboard/state", headers=headers)
    assert answer.status_code == status, answer.text
    removal = await client.delete("/api/v1/events/1", headers=headers)
    assert removal.status_code == {"full": 200, "reader": 403, "revoked": 401}[name]


async def test_a_sealed_telegram_link_and_a_sealed_shop_are_read(
    deps: Deps, client: AsyncClient
) -> None:
    phone = "+77012223344"
    assert await deps.code_context.links.chat_of(phone) == 555001

    code = (await client.post("/api/auth/request-otp", json={"phone": phone})).json()["otp"]
    entered = await client.post("/api/auth/verify-otp", json={"phone": phone, "otp_code": code})
    assert entered.json()["shop_name"] == "Цветы"


async def test_read_models_say_what_the_log_of_before_says(deps: Deps) -> None:
    pool, projections = deps.system, bootstrap.SERVICE.projections(deps.settings)
    tables = [*TABLES, "api_key"]
    before = await rows_of(pool, tables)

    await clear(pool, tables)
    await apply(pool, "gateway", projections, await history_of(deps.identity))

    assert await rows_of(pool, tables) == before
    assert all(before.values())
