"""Logins at the scales and the crm, and refresh tokens and logouts of all who have such.

The staff's token is in a cookie, the others' in the body (spec scale-bridge §1, crm §3.1, kiosk
§2.1, §3.4).
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from httpx import Response

from libs.security import tokens
from services.gateway.accounts.domain.realm import DEVICE, Realm
from services.gateway.administration.handlers.administration import deactivate
from tests.services.gateway.house import (
    PASSWORD,
    House,
    bearer,
    claims_of,
    crm_user,
    kiosk_user,
    some_email,
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
    claims = claims_of(house.deps, answer.json()["access_token"])
    assert (claims.tenant, claims.kind) == (house.deps.settings.people_tenant, "scales")
    assert claims.scopes == {"scales:read", "scales:write"}
    assert claims.session


async def test_an_address_is_registered_once_however_it_is_written(house: House) -> None:
    email = some_email()

    first, second = await registered(house, email), await registered(house, email.lower())

    assert first.status_code == 201
    assert (second.status_code, second.json()) == (409, {"detail": "Email already registered"})


async def at_the_scales(house: House, email: str, password: str) -> int:
    """A stranger registers."""
    async with house.another_client() as client:
        body = {"email": email, "password": password}
        return (await client.post("/auth/register", json=body)).status_code


async def in_the_crm(house: House, email: str, password: str) -> int:
    """An administrator makes a user."""
    boss = await house.member(Realm.CRM, "ADMIN")
    body = crm_user(email=email, password=password)
    return int((await boss.post("/api/v1/users", body)).status_code)


async def at_the_kiosks(house: House, email: str, password: str) -> int:
    """A superadmin makes an administrator, whose user name is the address."""
    boss = await house.member(Realm.KIOSK, "superadmin")
    body = kiosk_user(email=email, username=email, password=password)
    return int((await boss.post("/api/v1/users/create-admin", body)).status_code)


async def enter(house: House, door: Any, email: str, password: str) -> int:
    """The status of a login at a door, from an address that nobody used before."""
    async with house.another_client() as client:
        if door is at_the_kiosks:
            body = {"username": email, "password": password}
            return (await client.post("/api/v1/auth/login", json=body)).status_code
        path = "/auth/login" if door is at_the_scales else "/api/v1/auth/token"
        return (await client.post(path, data=form(email, password))).status_code


DOORS = (at_the_scales, in_the_crm, at_the_kiosks)


@pytest.mark.parametrize(
    "doors", [*permutations(DOORS)], ids=lambda doors: ", ".join(one.__name__ for one in doors)
)
async def test_an_address_that_nobody_proved_keeps_nobody_out_of_another_realm(
    house: House, doors: tuple[Any, ...]
) -> None:
    email = some_email()
    passwords = {door: f"password of {door.__name__}" for door in doors}

    for door in doors:
        assert await door(house, email, passwords[door]) in {200, 201}, door
    for door in doors:
        # In the same realm it is taken.
        assert await door(house, email, PASSWORD) in {409, 422}, door
        for whose, password in passwords.items():
            assert await enter(house, door, email, password) == (200 if whose is door else 401)


async def test_registering_does_not_tell_who_is_known_elsewhere(house: House) -> None:
    async def known(realm: Realm, role: str, tenant: str | None = None) -> str:
        return str((await house.account(realm, role, tenant)).person.email)

    gone = await house.account(Realm.CRM, "ENGINEER")
    await deactivate(house.deps.identity, gone.account_id, reason="test", actor="test")
    emails = [
        await known(Realm.CRM, "ENGINEER"),
        await known(Realm.KIOSK, "staff"),
        await known(Realm.SCALES, "user", "other"),
        str(gone.person.email),
        some_email(),
    ]

    answers = []
    for email in emails:
        async with house.another_client() as client:
            body = {"email": email, "password": PASSWORD}
            answers.append(await client.post("/auth/register", json=body))

    assert [one.status_code for one in answers] == [201] * len(emails)
    assert [one.json()["email"].lower() for one in answers] == [one.lower() for one in emails]
    names = {tuple(sorted(one.headers)) for one in answers}
    assert len(names) == 1


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
    assert first["expires_in"] == 1800
    claims = [claims_of(house.deps, pair["access_token"]) for pair in (first, second)]
    assert claims[0].session == claims[1].session
    assert "visits:write" in claims[0].scopes
    assert "users:read" not in claims[0].scopes
    # What refreshes opens nothing.
    with pytest.raises(tokens.TokenInvalid):
        claims_of(house.deps, first["refresh_token"])
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
        await house.client.post("/auth/login", data=form(email, f"guess {n}")) for n in range(11)
    ]
    async with house.another_client() as owner:
        let_in = await owner.post("/auth/login", data=form(email))

    assert guesses[0].status_code == 401
    assert guesses[-1].status_code == 429
    assert int(guesses[-1].headers["Retry-After"]) >= 1
    assert let_in.status_code == 200


@dataclass(frozen=True, kw_only=True)
class Way:
    """How one kind of client stays in."""

    realm: Realm
    role: str
    auth: str
    me: str
    refused: Any
    in_cookie: bool = False

    async def enter(self, house: House) -> tuple[str, str]:
        """Log in: an access token and a refresh token."""
        who = (await house.account(self.realm, self.role)).person
        if self.realm is Realm.CRM:
            answer = await house.token(str(who.email))
        else:
            answer = await house.login(str(who.username), path=self.auth)
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()["access_token"], self.next(answer)

    async def refresh(self, house: House, token: str) -> Response:
        """Exchange a refresh token."""
        house.client.cookies.clear()
        path = f"/api/v1/{self.auth}/refresh"
        if self.in_cookie:
            return await house.client.post(path, headers={"Cookie": f"refresh_token={token}"})
        return await house.client.post(path, json={"refresh_token": token})

    def next(self, answer: Response) -> str:
        """The refresh token that an answer brings."""
        assert answer.status_code == 200, answer.text
        assert ("set-cookie" in answer.headers) is self.in_cookie
        assert ("refresh_token" in answer.json()) is not self.in_cookie
        return str(answer.cookies.get("refresh_token") or answer.json()["refresh_token"])

    async def is_refused(self, house: House, token: str) -> bool:
        """Whether a refresh token is good for nothing, in the clients' words."""
        answer = await self.refresh(house, token)
        body = answer.json()
        return answer.status_code == 401 and self.refused in (body, body.get("code"))


CRM = Way(
    realm=Realm.CRM,
    role="ENGINEER",
    auth="auth",
    me="users/me",
    refused={"error": {"code": "UNAUTHORIZED", "message": "Invalid refresh token", "details": {}}},
)
STAFF = Way(
    realm=Realm.KIOSK,
    role="staff",
    auth="auth",
    me="auth/me",
    refused="TOKEN_REVOKED",
    in_cookie=True,
)
ON_KIOSK = Way(
    realm=Realm.KIOSK, role=DEVICE, auth="kiosk", me="kiosk/status", refused="TOKEN_REVOKED"
)
WAYS = {"crm": CRM, "staff": STAFF, "kiosk": ON_KIOSK}
EACH = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@EACH
async def test_an_answer_that_was_lost_is_given_again(house: House, way: Way) -> None:
    _, old = await way.enter(house)

    second, again = [way.next(await way.refresh(house, old)) for _ in range(2)]

    assert second == again != old
    assert (await way.refresh(house, again)).status_code == 200


@EACH
async def test_a_token_used_long_ago_ends_the_session_for_all(house: House, way: Way) -> None:
    access, stolen = await way.enter(house)
    current = stolen
    for _ in range(2):
        current = way.next(await way.refresh(house, current))

    reused = await way.refresh(house, stolen)

    assert reused.status_code == 401
    assert ("max-age=0" in reused.headers.get("set-cookie", "").lower()) is way.in_cookie
    assert await way.is_refused(house, stolen)
    assert await way.is_refused(house, current)
    me = await house.client.get(f"/api/v1/{way.me}", headers=bearer(access))
    assert me.status_code == 401


@pytest.mark.parametrize(("mine", "other"), [*permutations(WAYS, 2)])
async def test_no_kind_of_token_passes_for_another(house: House, mine: str, other: str) -> None:
    way = WAYS[mine]
    access, token = await way.enter(house)

    assert await WAYS[other].is_refused(house, token)
    assert await way.is_refused(house, access)
    assert await way.is_refused(house, "nonsense")
    # Nobody is out for that.
    assert (await way.refresh(house, token)).status_code == 200


@EACH
async def test_whoever_logs_out_is_out(house: House, way: Way) -> None:
    access, token = await way.enter(house)
    path = f"/api/v1/{way.auth}/logout"

    out, again = [await house.client.post(path, headers=bearer(access)) for _ in range(2)]

    # The crm's clients always get the same answer.
    assert (out.status_code, again.status_code) == (200, 200 if way is CRM else 401)
    if way is not ON_KIOSK:
        assert out.json().keys() == {"message"}
    assert ("max-age=0" in out.headers.get("set-cookie", "").lower()) is way.in_cookie
    assert await way.is_refused(house, token)
    me = await house.client.get(f"/api/v1/{way.me}", headers=bearer(access))
    assert me.status_code == 401


async def test_at_the_crm_a_refresh_token_logs_out_too(house: House) -> None:
    _, token = await CRM.enter(house)

    for body in ({"refresh_token": token}, {"refresh_token": token}, None):
        out = await house.client.post("/api/v1/auth/logout", json=body)
        assert (out.status_code, out.json()) == (200, {"message": "Logged out successfully"})

    assert await CRM.is_refused(house, token)


@pytest.mark.parametrize("bearer", ["nonsense", "a.b.c", "a.e30.c", ""])
async def test_at_the_crm_any_token_logs_out(house: House, bearer: str) -> None:
    for path in ("/api/v1/auth/logout", "/crm/api/v1/auth/logout"):
        out = await house.client.post(path, headers={"Authorization": f"Bearer {bearer}"})
        assert (out.status_code, out.json()) == (200, {"message": "Logged out successfully"})
