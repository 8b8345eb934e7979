"""Logging in at the scales and the crm, as their clients do (spec scale-bridge §1, crm §3.1)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from httpx import ASGITransport, AsyncClient, Response

from libs.security import tokens
from services.gateway import bootstrap
from services.gateway.adapters.access_tokens import AUDIENCE
from services.gateway.deps import Deps
from services.gateway.domain.person import Person
from services.gateway.domain.realm import Place, Realm, Role
from services.gateway.handlers.account import open_account
from tests.services.gateway.code_desk import some_address
from tests.services.gateway.conftest import gateway_settings

PASSWORD = "correct horse battery"


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    settings = gateway_settings("http://127.0.0.1:1", database_url=url)
    async with bootstrap.open_deps(settings) as opened:
        yield opened


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(bootstrap.create_app(deps), client=(some_address(), 5555))
    async with AsyncClient(transport=transport, base_url="http://gateway") as opened:
        yield opened


def some_email() -> str:
    return f"Anna.{uuid4().hex[:12]}@Shop.Example"


def said(deps: Deps, bearer: str) -> tokens.Claims:
    keys = deps.signing_keys.public
    return tokens.verify(
        bearer,
        keys,
        audience=AUDIENCE,
        issuer=deps.settings.issuer,
        now=datetime.now(UTC),
        typ=tokens.ACCESS,
    )


async def registered(client: AsyncClient, email: str) -> Response:
    return await client.post("/auth/register", json={"email": email, "password": PASSWORD})


async def an_engineer(deps: Deps, email: str) -> None:
    place = Place(Realm.CRM, deps.settings.people_tenant)
    person, roles = Person(email=email), [Role(place, "ENGINEER")]
    await open_account(deps.identity, person, password=PASSWORD, roles=roles, actor="test")


def form(email: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"data": {"username": email, "password": password, "grant_type": "password"}}


async def test_whoever_registers_at_the_scales_can_log_in_at_once(
    deps: Deps, client: AsyncClient
) -> None:
    email = some_email()

    made = await registered(client, email)
    answer = await client.post("/auth/login", **form(email.upper()))

    assert made.status_code == 201
    # The domain is lower-cased, the rest stays as it was written.
    assert made.json() == {"id": made.json()["id"], "email": email.replace("Shop.E", "shop.e")}
    assert isinstance(made.json()["id"], int)
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type"}
    assert answer.json()["token_type"] == "bearer"
    claims = said(deps, answer.json()["access_token"])
    assert (claims.tenant, claims.kind) == ("demo", "scales")
    assert claims.scopes == {"scales:read", "scales:write"}
    assert claims.session


async def test_an_address_is_registered_once_however_it_is_written(client: AsyncClient) -> None:
    email = some_email()

    first, second = await registered(client, email), await registered(client, email.lower())

    assert first.status_code == 201
    assert (second.status_code, second.json()) == (409, {"detail": "Email already registered"})


@pytest.mark.parametrize(
    "body",
    [
        {"email": "nobody", "password": PASSWORD},
        {"email": "a@shop.example", "password": "pw-1234"},
        {"email": "a@shop.example", "password": "x" * 129},
        {"email": "a@shop.example"},
    ],
)
async def test_what_cannot_be_registered_is_said_field_by_field(
    client: AsyncClient, body: dict[str, str]
) -> None:
    answer = await client.post("/auth/register", json=body)

    assert answer.status_code == 422
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()
    assert body.get("password", PASSWORD) not in answer.text


async def test_the_scales_say_the_same_whatever_is_wrong_with_a_login(
    deps: Deps, client: AsyncClient
) -> None:
    email, engineer = some_email(), some_email()
    await registered(client, email)
    await an_engineer(deps, engineer)

    wrong = [
        await client.post("/auth/login", **form(email, "another one")),
        await client.post("/auth/login", **form(some_email())),
        await client.post("/auth/login", **form("no address")),
        await client.post("/auth/login", **form(engineer)),
    ]

    assert {answer.status_code for answer in wrong} == {401}
    assert {answer.text for answer in wrong} == {'{"detail":"Incorrect username or password"}'}


async def test_a_login_in_json_is_none(client: AsyncClient) -> None:
    for path in ("/auth/login", "/api/v1/auth/token"):
        answer = await client.post(path, json={"username": "a@b.example", "password": PASSWORD})
        assert answer.status_code == 422


async def test_the_crm_gives_a_pair_and_exchanges_it(deps: Deps, client: AsyncClient) -> None:
    email = some_email()
    await an_engineer(deps, email)

    first = (await client.post("/api/v1/auth/token", **form(email))).json()
    body = {"refresh_token": first["refresh_token"]}
    second = (await client.post("/api/v1/auth/refresh", json=body)).json()
    again = (await client.post("/api/v1/auth/refresh", json=body)).json()

    assert first.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert first["expires_in"] == 15 * 60
    assert second["refresh_token"] != first["refresh_token"]
    # The answer may have been lost: a repeat at once gets the same successor.
    assert again["refresh_token"] == second["refresh_token"]
    claims = [said(deps, pair["access_token"]) for pair in (first, second)]
    assert claims[0].session == claims[1].session
    assert "visits:write" in claims[0].scopes
    assert "users:read" not in claims[0].scopes


async def test_a_refresh_token_used_long_ago_ends_the_session_for_everybody(
    deps: Deps, client: AsyncClient
) -> None:
    email = some_email()
    await an_engineer(deps, email)
    pair = (await client.post("/api/v1/auth/token", **form(email))).json()
    stolen = current = pair["refresh_token"]
    for _ in range(2):
        body = {"refresh_token": current}
        current = (await client.post("/api/v1/auth/refresh", json=body)).json()["refresh_token"]

    reused = await client.post("/api/v1/auth/refresh", json={"refresh_token": stolen})
    after = await client.post("/api/v1/auth/refresh", json={"refresh_token": current})

    said_no = {"error": {"code": "UNAUTHORIZED", "message": "Invalid refresh token", "details": {}}}
    assert (reused.status_code, reused.json()) == (401, said_no)
    assert (after.status_code, after.json()) == (401, said_no)


async def test_a_refresh_token_opens_nothing_and_an_access_token_refreshes_nothing(
    deps: Deps, client: AsyncClient
) -> None:
    email = some_email()
    await an_engineer(deps, email)
    pair = (await client.post("/api/v1/auth/token", **form(email))).json()

    body = {"refresh_token": pair["access_token"]}
    assert (await client.post("/api/v1/auth/refresh", json=body)).status_code == 401
    with pytest.raises(tokens.TokenInvalid):
        said(deps, pair["refresh_token"])


async def test_whoever_logs_out_is_out(deps: Deps, client: AsyncClient) -> None:
    email = some_email()
    await an_engineer(deps, email)
    pair = (await client.post("/api/v1/auth/token", **form(email))).json()
    body = {"refresh_token": pair["refresh_token"]}

    out = [await client.post("/api/v1/auth/logout", json=body) for _ in range(2)]
    old = await client.post("/api/v1/auth/logout")

    assert {answer.status_code for answer in (*out, old)} == {200}
    assert out[0].json() == {"message": "Logged out successfully"}
    assert (await client.post("/api/v1/auth/refresh", json=body)).status_code == 401


async def test_the_crm_says_no_without_detail_so_that_its_site_shows_the_login(
    client: AsyncClient,
) -> None:
    answer = await client.post("/api/v1/auth/token", **form(some_email()))

    assert answer.status_code == 401
    assert answer.json() == {
        "error": {"code": "UNAUTHORIZED", "message": "Invalid email or password", "details": {}}
    }


async def test_guessing_is_slowed_down_without_locking_others_out(
    deps: Deps, client: AsyncClient
) -> None:
    email = some_email()
    await registered(client, email)

    guesses = [await client.post("/auth/login", **form(email, f"guess {n}")) for n in range(10)]
    elsewhere = ASGITransport(bootstrap.create_app(deps), client=(some_address(), 5555))
    async with AsyncClient(transport=elsewhere, base_url="http://gateway") as owner:
        let_in = await owner.post("/auth/login", **form(email))

    assert guesses[0].status_code == 401
    assert guesses[-1].status_code == 429
    assert int(guesses[-1].headers["Retry-After"]) >= 1
    assert let_in.status_code == 200
