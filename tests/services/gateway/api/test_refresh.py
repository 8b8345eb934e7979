"""Refresh tokens and logouts of the crm, of the kiosks' staff and of kiosks themselves.

The staff's token is in a cookie, the others' in the body (spec crm §3.1, kiosk §2.1, §3.4).
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest
from httpx import Response

from services.gateway.domain.realm import DEVICE, Realm
from tests.services.gateway.api.inside import House, bearer


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
