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
from services.gateway.accounts.domain.realm import KIOSK_ITSELF, Realm
from services.gateway.administration.handlers.administration import deactivate
from tests.services.gateway.harness import (
    PASSWORD,
    Harness,
    bearer,
    claims_of,
    crm_user,
    kiosk_user,
    some_email,
)


async def registered(harness: Harness, email: str) -> Response:
    return await harness.client.post("/auth/register", json={"email": email, "password": PASSWORD})


def form(email: str, password: str = PASSWORD) -> dict[str, str]:
    return {"username": email, "password": password, "grant_type": "password"}


async def test_a_registration_at_the_scales_can_log_in_at_once(harness: Harness) -> None:
    email = f"Anna.{uuid4().hex[:12]}@Shop.Example"

    made = await registered(harness, email)
    answer = await harness.client.post("/auth/login", data=form(email.upper()))

    assert made.status_code == 201
    # The domain is lower-cased, the rest stays as it was written.
    assert made.json() == {"id": made.json()["id"], "email": email.replace("Shop.E", "shop.e")}
    assert isinstance(made.json()["id"], int)
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type"}
    assert answer.json()["token_type"] == "bearer"
    claims = claims_of(harness.deps, answer.json()["access_token"])
    assert (claims.tenant, claims.kind) == (harness.deps.settings.people_tenant, "scales")
    assert claims.scopes == {"scales:read", "scales:write"}
    assert claims.session


async def test_an_address_is_registered_once_however_it_is_written(harness: Harness) -> None:
    email = some_email()

    first, second = await registered(harness, email), await registered(harness, email.lower())

    assert first.status_code == 201
    assert (second.status_code, second.json()) == (409, {"detail": "Email already registered"})


async def at_the_scales(harness: Harness, email: str, password: str) -> int:
    """A stranger registers."""
    async with harness.another_client() as client:
        body = {"email": email, "password": password}
        return (await client.post("/auth/register", json=body)).status_code


async def in_the_crm(harness: Harness, email: str, password: str) -> int:
    """An administrator makes a user."""
    boss = await harness.member(Realm.CRM, "ADMIN")
    body = crm_user(email=email, password=password)
    return int((await boss.post("/api/v1/users", body)).status_code)


async def at_the_kiosks(harness: Harness, email: str, password: str) -> int:
    """A superadmin makes an administrator, whose user name is the address."""
    boss = await harness.member(Realm.KIOSK, "superadmin")
    body = kiosk_user(email=email, username=email, password=password)
    return int((await boss.post("/api/v1/users/create-admin", body)).status_code)


async def enter(harness: Harness, door: Any, email: str, password: str) -> int:
    """The status of a login at a door, from a new address."""
    async with harness.another_client() as client:
        if door is at_the_kiosks:
            body = {"username": email, "password": password}
            return (await client.post("/api/v1/auth/login", json=body)).status_code
        path = "/auth/login" if door is at_the_scales else "/api/v1/auth/token"
        return (await client.post(path, data=form(email, password))).status_code


DOORS = (at_the_scales, in_the_crm, at_the_kiosks)


@pytest.mark.parametrize(
    "doors", [*permutations(DOORS)], ids=lambda doors: ", ".join(one.__name__ for one in doors)
)
async def test_an_unproved_address_does_not_block_another_realm(
    harness: Harness, doors: tuple[Any, ...]
) -> None:
    email = some_email()
    passwords = {door: f"password of {door.__name__}" for door in doors}

    for door in doors:
        assert await door(harness, email, passwords[door]) in {200, 201}, door
    for door in doors:
        # In the same realm it is taken.
        assert await door(harness, email, PASSWORD) in {409, 422}, door
        for whose, password in passwords.items():
            assert await enter(harness, door, email, password) == (200 if whose is door else 401)


async def test_a_registration_does_not_reveal_accounts_of_other_realms(harness: Harness) -> None:
    async def known(realm: Realm, role: str, tenant: str | None = None) -> str:
        return str((await harness.account(realm, role, tenant)).person.email)

    gone = await harness.account(Realm.CRM, "ENGINEER")
    await deactivate(harness.deps.identity, gone.account_id, reason="test", actor="test")
    emails = [
        await known(Realm.CRM, "ENGINEER"),
        await known(Realm.KIOSK, "staff"),
        await known(Realm.SCALES, "user", "other"),
        str(gone.person.email),
        some_email(),
    ]

    answers = []
    for email in emails:
        async with harness.another_client() as client:
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
async def test_an_invalid_registration_is_refused_by_field(
    harness: Harness, body: dict[str, str]
) -> None:
    answer = await harness.client.post("/auth/register", json=body)

    assert answer.status_code == 422
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()
    assert body.get("password", PASSWORD) not in answer.text


async def test_the_crm_gives_a_pair_and_exchanges_it(harness: Harness) -> None:
    engineer = await harness.account(Realm.CRM, "ENGINEER")

    first = (await harness.token(str(engineer.person.email))).json()
    body = {"refresh_token": first["refresh_token"]}
    second = (await harness.client.post("/api/v1/auth/refresh", json=body)).json()

    assert first.keys() == second.keys()
    assert first.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert first["expires_in"] == 1800
    claims = [claims_of(harness.deps, pair["access_token"]) for pair in (first, second)]
    assert claims[0].session == claims[1].session
    assert "visits:write" in claims[0].scopes
    assert "users:read" not in claims[0].scopes
    # What refreshes opens nothing.
    with pytest.raises(tokens.TokenInvalid):
        claims_of(harness.deps, first["refresh_token"])
    me = await harness.client.get("/api/v1/users/me", headers=bearer(first["refresh_token"]))
    assert me.status_code == 401


async def test_the_crm_says_no_without_detail_so_its_site_shows_the_login(harness: Harness) -> None:
    answer = await harness.token(some_email())
    # A login in JSON is none, at the scales neither.
    for path in ("/auth/login", "/api/v1/auth/token"):
        assert (await harness.client.post(path, json=form("a@b.example"))).status_code == 422

    assert answer.status_code == 401
    assert answer.json() == {
        "error": {"code": "UNAUTHORIZED", "message": "Invalid email or password", "details": {}}
    }


async def test_guessing_is_slowed_down_without_locking_others_out(harness: Harness) -> None:
    email = some_email()
    await registered(harness, email)

    guesses = [
        await harness.client.post("/auth/login", data=form(email, f"guess {n}")) for n in range(11)
    ]
    async with harness.another_client() as owner:
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

    async def enter(self, harness: Harness) -> tuple[str, str]:
        """Log in: an access token and a refresh token."""
        who = (await harness.account(self.realm, self.role)).person
        if self.realm is Realm.CRM:
            answer = await harness.token(str(who.email))
        else:
            answer = await harness.login(str(who.username), path=self.auth)
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()["access_token"], self.next(answer)

    async def refresh(self, harness: Harness, token: str) -> Response:
        """Exchange a refresh token."""
        harness.client.cookies.clear()
        path = f"/api/v1/{self.auth}/refresh"
        if self.in_cookie:
            return await harness.client.post(path, headers={"Cookie": f"refresh_token={token}"})
        return await harness.client.post(path, json={"refresh_token": token})

    def next(self, answer: Response) -> str:
        """The refresh token that an answer brings."""
        assert answer.status_code == 200, answer.text
        assert ("set-cookie" in answer.headers) is self.in_cookie
        assert ("refresh_token" in answer.json()) is not self.in_cookie
        return str(answer.cookies.get("refresh_token") or answer.json()["refresh_token"])

    async def is_refused(self, harness: Harness, token: str) -> bool:
        """Whether a refresh token is good for nothing, in the clients' words."""
        answer = await self.refresh(harness, token)
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
    realm=Realm.KIOSK, role=KIOSK_ITSELF, auth="kiosk", me="kiosk/status", refused="TOKEN_REVOKED"
)
WAYS = {"crm": CRM, "staff": STAFF, "kiosk": ON_KIOSK}
EACH = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@EACH
async def test_an_answer_that_was_lost_is_given_again(harness: Harness, way: Way) -> None:
    _, old = await way.enter(harness)

    second, again = [way.next(await way.refresh(harness, old)) for _ in range(2)]

    assert second == again != old
    assert (await way.refresh(harness, again)).status_code == 200


@EACH
async def test_a_token_used_long_ago_ends_the_session_for_all(harness: Harness, way: Way) -> None:
    access, stolen = await way.enter(harness)
    current = stolen
    for _ in range(2):
        current = way.next(await way.refresh(harness, current))

    reused = await way.refresh(harness, stolen)

    assert reused.status_code == 401
    assert ("max-age=0" in reused.headers.get("set-cookie", "").lower()) is way.in_cookie
    assert await way.is_refused(harness, stolen)
    assert await way.is_refused(harness, current)
    me = await harness.client.get(f"/api/v1/{way.me}", headers=bearer(access))
    assert me.status_code == 401


@pytest.mark.parametrize(("mine", "other"), [*permutations(WAYS, 2)])
async def test_no_kind_of_token_passes_for_another(harness: Harness, mine: str, other: str) -> None:
    way = WAYS[mine]
    access, token = await way.enter(harness)

    assert await WAYS[other].is_refused(harness, token)
    assert await way.is_refused(harness, access)
    assert await way.is_refused(harness, "nonsense")
    # Nobody is out for that.
    assert (await way.refresh(harness, token)).status_code == 200


@EACH
async def test_a_logout_ends_the_session(harness: Harness, way: Way) -> None:
    access, token = await way.enter(harness)
    path = f"/api/v1/{way.auth}/logout"

    out, again = [await harness.client.post(path, headers=bearer(access)) for _ in range(2)]

    # The crm's clients always get the same answer.
    assert (out.status_code, again.status_code) == (200, 200 if way is CRM else 401)
    if way is not ON_KIOSK:
        assert out.json().keys() == {"message"}
    assert ("max-age=0" in out.headers.get("set-cookie", "").lower()) is way.in_cookie
    assert await way.is_refused(harness, token)
    me = await harness.client.get(f"/api/v1/{way.me}", headers=bearer(access))
    assert me.status_code == 401


async def test_at_the_crm_a_refresh_token_logs_out_too(harness: Harness) -> None:
    _, token = await CRM.enter(harness)

    for body in ({"refresh_token": token}, {"refresh_token": token}, None):
        out = await harness.client.post("/api/v1/auth/logout", json=body)
        assert (out.status_code, out.json()) == (200, {"message": "Logged out successfully"})

    assert await CRM.is_refused(harness, token)


@pytest.mark.parametrize("bearer", ["nonsense", "a.b.c", "a.e30.c", ""])
async def test_at_the_crm_any_token_logs_out(harness: Harness, bearer: str) -> None:
    for path in ("/api/v1/auth/logout", "/crm/api/v1/auth/logout"):
        out = await harness.client.post(path, headers={"Authorization": f"Bearer {bearer}"})
        assert (out.status_code, out.json()) == (200, {"message": "Logged out successfully"})
