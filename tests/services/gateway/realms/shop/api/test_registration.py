"""Registering a shop by a phone that was proved, and attacks on it (spec shop §2.1, §2.2)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from libs.postgres.pool import acquire
from libs.security import tokens
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from services.gateway.realms.shop.handlers import pending_registration
from services.gateway.realms.shop.handlers.pending_registration import AUDIENCE, TYPE
from tests.services.gateway.code_context import some_phone
from tests.services.gateway.harness import bearer, claims_of
from tests.services.gateway.shop_door import AUTH, AUTH_TOKEN, Door, Someone


async def test_an_unknown_phone_gets_a_pending_token_and_then_a_shop(door: Door) -> None:
    anna = await door.linked()

    first = await door.log_in(anna)
    made = await door.complete(anna, name=" Розы ", city="Астана")

    assert first.keys() == AUTH_TOKEN
    assert (first["is_new_user"], first["shop_id"], first["token_type"]) == (True, None, "bearer")
    body = made.json()
    assert made.status_code == 201
    assert body.keys() == AUTH_TOKEN
    assert type(body["shop_id"]) is int
    assert (body["shop_name"], body["is_new_user"], body["needs_phone"]) == ("Розы", False, False)
    assert (body["user_role"], body["user_name"]) == (None, None)
    assert made.headers["Cache-Control"] == "no-store"
    claims = claims_of(door.deps, body["access_token"])
    assert (claims.kind, claims.tenant) == ("shop", f"shop-{body['shop_id']}")
    assert {"shop:orders", "shop:users"} <= claims.scopes
    assert claims.session
    # Its clients know no refresh, so it lives as long as it always did.
    assert claims.expires_at - datetime.now(UTC) > timedelta(minutes=25)


async def test_a_shop_needs_a_name(door: Door) -> None:
    anna = await door.linked()
    await door.log_in(anna)

    for body in ({}, *({"name": name} for name in ("Р", "x" * 101, "Ро\u0000зы", "   Р   "))):
        answer = await door.complete(anna, **body)

        assert answer.status_code == 422
        assert isinstance(answer.json()["detail"], str)


async def test_a_pending_token_registers_only_and_another_does_not(door: Door) -> None:
    anna = await door.linked()
    await door.log_in(anna)
    for answer in (
        await door.who_is(anna),
        await door.client.get(f"{AUTH}/me", headers=anna.headers),
        await door.post("logout", headers=anna.headers),
    ):
        assert answer.status_code == 401

    made = await door.register(anna, "Розы")
    other = await door.complete(anna, name="Ещё")
    nothing = await door.complete(Someone(), name="Ещё")
    assert (other.status_code, nothing.status_code) == (400, 401)
    assert nothing.headers["WWW-Authenticate"] == "Bearer"

    # The shop itself is told with what a new one has.
    shop = (await door.client.get(f"{AUTH}/me", headers=anna.headers)).json()
    assert (shop["id"], shop["name"], shop["phone"]) == (made["shop_id"], "Розы", anna.phone)
    assert (shop["currency"], shop["timezone"], shop["plan"]) == ("KZT", "Asia/Almaty", "basic")
    assert datetime.fromisoformat(shop["created_at"]).tzinfo is not None


async def test_an_account_of_another_realm_can_register_a_shop(door: Door) -> None:
    anna = Someone()
    account_id = await door.open_account_of(anna, Role(Workspace(Realm.CRM, "demo"), "ENGINEER"))

    made = await door.register(anna)

    assert await door.account_of(anna) == account_id
    assert made["shop_id"] is not None
    assert (await door.log_in(anna))["shop_id"] == made["shop_id"]


async def test_a_token_of_ours_that_is_no_pending_one_registers_nothing(door: Door) -> None:
    deps, phone = door.deps, some_phone()
    pending: dict[str, Any] = {
        "subject": deps.identity.seal.seal(phone, pending_registration.CONTEXT),
        "tenant": "platform",
        "scopes": (),
        "kind": TYPE,
        "issuer": deps.settings.issuer,
        "now": datetime.now(UTC),
        "lifetime": timedelta(minutes=5),
        "audience": AUDIENCE,
    }

    for different in ({}, {"audience": "tillstream", "typ": TYPE}, {"subject": phone, "typ": TYPE}):
        token = tokens.issue(deps.signing_keys.current, **pending | different)
        answer = await door.complete(Someone(headers=bearer(token)), name="Розы")
        assert answer.status_code == 401, different
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_phone_and_code_and_token_do_not_stand_in_the_log(door: Door) -> None:
    anna = await door.linked()
    code = await door.code(anna)
    pending = (await door.show(anna, code)).json()["access_token"]
    anna.headers = bearer(pending)
    full = (await door.complete(anna, name="Розы")).json()["access_token"]
    again = await door.show(anna, code)

    assert again.status_code == 400
    assert "expired" in again.json()["detail"]
    assert "Invalid OTP" not in again.json()["detail"]
    async with acquire(door.deps.system) as connection:
        rows = await connection.fetch("SELECT data::text || metadata::text AS text FROM events")
    log = " ".join(row["text"] for row in rows)
    for secret in (anna.phone[1:], pending, full, f'"{code}"'):
        assert secret not in log
