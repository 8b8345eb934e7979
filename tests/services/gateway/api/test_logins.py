"""Logging in at the scales and the crm, as their clients do (spec scale-bridge §1, crm §3.1).

Refresh tokens are in `test_refresh`.
"""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from httpx import Response

from libs.security import tokens
from services.gateway.adapters.access_tokens import AUDIENCE
from services.gateway.domain.realm import Realm
from tests.services.gateway.api.inside import PASSWORD, House, bearer, some_email


def claims_of(house: House, token: str) -> tokens.Claims:
    return tokens.verify(
        token,
        house.deps.signing_keys.public,
        audience=AUDIENCE,
        issuer=house.deps.settings.issuer,
        now=datetime.now(UTC),
        typ=tokens.ACCESS,
    )


async def registered(house: House, email: str) -> Response:
    return await house.client.post("/auth/register", json={"email": email, "password": PASSWORD})


def form(email: str, password: str = PASSWORD) -> dict[str, str]:
    return {"username": email, "password": password, "grant_type": "password"}


async def test_whoever_registers_at_the_scales_can_log_in_at_once(house: House) -> None:
    email = f"Anna.{uuid4().hex[:12]}@Shop.Example"

    made = await registered(house, email)
    answer = await house.client.post("/auth/login", data=form(email.upper()))

    assert made.status_code == 201
    # The domain is lower-cased, the rest stays as it was written.
    assert made.json() == {"id": made.json()["id"], "email": email.replace("Shop.E", "shop.e")}
    assert isinstance(made.json()["id"], int)
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type"}
    assert answer.json()["token_type"] == "bearer"
    claims = claims_of(house, answer.json()["access_token"])
    assert (claims.tenant, claims.kind) == (house.deps.settings.people_tenant, "scales")
    assert claims.scopes == {"scales:read", "scales:write"}
    assert claims.session


async def test_an_address_is_registered_once_however_it_is_written(house: House) -> None:
    email = some_email()

    first, second = await registered(house, email), await registered(house, email.lower())

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
async def test_what_is_no_registration_is_said_by_field(house: House, body: dict[str, str]) -> None:
    answer = await house.client.post("/auth/register", json=body)

    assert answer.status_code == 422
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()
    assert body.get("password", PASSWORD) not in answer.text


async def test_the_crm_gives_a_pair_and_exchanges_it(house: House) -> None:
    engineer = await house.account(Realm.CRM, "ENGINEER")

    first = (await house.token(str(engineer.person.email))).json()
    body = {"refresh_token": first["refresh_token"]}
    second = (await house.client.post("/api/v1/auth/refresh", json=body)).json()

    assert first.keys() == second.keys()
    assert first.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert first["expires_in"] == 15 * 60
    claims = [claims_of(house, pair["access_token"]) for pair in (first, second)]
    assert claims[0].session == claims[1].session
    assert "visits:write" in claims[0].scopes
    assert "users:read" not in claims[0].scopes
    # What refreshes opens nothing.
    with pytest.raises(tokens.TokenInvalid):
        claims_of(house, first["refresh_token"])
    me = await house.client.get("/api/v1/users/me", headers=bearer(first["refresh_token"]))
    assert me.status_code == 401


async def test_the_crm_says_no_without_detail_so_its_site_shows_the_login(house: House) -> None:
    answer = await house.token(some_email())
    # A login in JSON is none, at the scales neither.
    for path in ("/auth/login", "/api/v1/auth/token"):
        assert (await house.client.post(path, json=form("a@b.example"))).status_code == 422

    assert answer.status_code == 401
    assert answer.json() == {
        "error": {"code": "UNAUTHORIZED", "message": "Invalid email or password", "details": {}}
    }


async def test_guessing_is_slowed_down_without_locking_others_out(house: House) -> None:
    email = some_email()
    await registered(house, email)

    guesses = [
        await house.client.post("/auth/login", data=form(email, f"guess {n}")) for n in range(10)
    ]
    async with house.another_client() as owner:
        let_in = await owner.post("/auth/login", data=form(email))

    assert guesses[0].status_code == 401
    assert guesses[-1].status_code == 429
    assert int(guesses[-1].headers["Retry-After"]) >= 1
    assert let_in.status_code == 200
