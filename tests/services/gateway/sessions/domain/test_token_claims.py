"""The claims of access tokens as the clients of each door read them, beside what we need."""

from typing import Any

from services.gateway.accounts.domain.realm import Realm
from services.gateway.sessions.api.realm_route import claims_in
from tests.services.gateway.harness import (
    CHIEF,
    PASSWORD,
    Harness,
    bearer,
    claims_of,
    some_email,
)
from tests.services.gateway.shop_door import Door

OURS = {"sub", "tenant", "scope", "kind", "aud", "iss", "iat", "exp", "sid", "jti", "client_id"}
OF_A_LOGIN = {"sid", "jti", "client_id"}


def payload_of(token: str) -> dict[str, Any]:
    return dict(claims_in(f"Bearer {token}"))


def door_claims(token: str) -> dict[str, Any]:
    """What stands in it for the door's clients: `sub`, and what only they read."""
    claims = payload_of(token)
    assert claims.keys() >= OURS - OF_A_LOGIN
    return {n: v for n, v in claims.items() if n not in OURS - {"sub"} and n != "subject"}


async def test_at_the_scales_sub_is_the_number_that_registering_answered(harness: Harness) -> None:
    email = some_email()
    body = {"email": email, "password": PASSWORD}
    made = (await harness.client.post("/auth/register", json=body)).json()
    form = {"username": email, "password": PASSWORD}

    token = (await harness.client.post("/auth/login", data=form)).json()["access_token"]

    assert door_claims(token) == {"sub": str(made["id"])}
    # Ours go by the account's own id, as ever.
    mine = await harness.client.get("/api/v1/sessions", headers=bearer(token))
    assert mine.status_code == 200
    assert claims_of(harness.deps, token).subject == payload_of(token)["subject"] != str(made["id"])


async def test_a_token_of_the_crm_has_the_user_and_the_role(harness: Harness) -> None:
    who = await harness.account(Realm.CRM, "SUPERVISOR")

    pair = (await harness.token(str(who.person.email))).json()

    claims = door_claims(pair["access_token"])
    scopes = claims.pop("scopes")
    account = {"sub": str(who.account_id), "email": who.person.email}
    assert claims == {**account, "role": "SUPERVISOR", "type": "access"}
    assert {"objects:read", "users:read"} <= set(scopes)
    assert scopes == payload_of(pair["access_token"])["scope"].split()


async def test_at_the_kiosks_a_token_says_the_user_by_number_and_name(harness: Harness) -> None:
    staff, kiosk = [await harness.account(Realm.KIOSK, role) for role in ("staff", "kiosk")]
    body = {"username": kiosk.person.username, "password": PASSWORD, "device_id": "hall-1"}

    of_staff = (await harness.login(str(staff.person.username))).json()["access_token"]
    of_kiosk = (await harness.client.post("/api/v1/kiosk/login", json=body)).json()["access_token"]

    assert door_claims(of_staff) == {
        "sub": str(staff.account_id),
        "user_id": staff.number,
        "username": staff.person.username,
        "role_name": "staff",
        "type": "access_token",
    }
    claims = door_claims(of_kiosk)
    kid = claims.pop("kid")
    assert claims == {
        "sub": str(kiosk.account_id),
        "user_id": kiosk.number,
        "username": kiosk.person.username,
        "role_name": "kiosk",
        "type": "kiosk_access_token",
        "device_id": "hall-1",
    }
    assert kid == harness.deps.signing_keys.current.kid
    path = "/api/v1/kiosk/token/prepare-deny-list"
    deny = (await harness.client.post(path, headers=bearer(of_kiosk))).json()
    assert deny["deny_list_preparation"]["jti"] == payload_of(of_kiosk)["jti"]


async def test_at_the_shop_sub_is_the_shop_and_before_that_pending(door: Door) -> None:
    anna = await door.linked()
    pending = (await door.show(anna, await door.code(anna))).json()["access_token"]
    anna.headers = bearer(pending)
    made = (await door.complete(anna, name="Розы")).json()

    assert door_claims(pending) == {"sub": "pending", "phone": anna.phone}
    claims = door_claims(made["access_token"])
    assert claims.pop("user_id").isdecimal()
    assert claims.pop("telegram_id", anna.telegram_id) == anna.telegram_id
    assert claims == {"sub": str(made["shop_id"]), "phone": anna.phone}


async def test_the_platforms_own_tokens_say_nothing_more(demo: Harness) -> None:
    _, headers = await demo.log_in(await demo.create_account(CHIEF), CHIEF.workspace)

    token = headers["Authorization"].removeprefix("Bearer ")

    assert set(payload_of(token)) == OURS
