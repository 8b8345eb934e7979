"""The couriers' app: a login, and the list of couriers."""

from typing import Any

import pytest

from services.gateway.accounts.domain.realm import Realm
from tests.services.gateway.harness import PASSWORD, Harness, bearer, some_email

AT, COURIERS = "/api/courier", "/api/couriers"


async def logged_in(harness: Harness, role: str, door: str = "") -> dict[str, Any]:
    """The tokens of a new account."""
    who = await harness.account(Realm.COURIER, role)
    body = {"email": who.person.email, "password": PASSWORD}
    answer = await harness.client.post(f"{door}{AT}/login", json=body)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


@pytest.mark.parametrize("door", ["", "/shop"])
async def test_a_dispatcher_logs_in_makes_couriers_and_lists_them(
    harness: Harness, door: str
) -> None:
    tokens = await logged_in(harness, "dispatcher", door)
    headers = bearer(tokens["access_token"])
    new = {"email": some_email(), "password": PASSWORD, "name": "Ян", "vehicle": "велосипед"}

    made = await harness.client.post(f"{door}{COURIERS}", json=new, headers=headers)
    again = await harness.client.post(f"{door}{COURIERS}", json=new, headers=headers)
    await harness.catch_up()
    listed = await harness.client.get(f"{door}{COURIERS}/", headers=headers)
    me = await harness.client.get(f"{door}{COURIERS}/me", headers=headers)

    assert (made.status_code, again.status_code) == (201, 409)
    assert again.json() == {"detail": "Этот адрес уже занят"}
    assert listed.json()["total"] == len(listed.json()["items"])
    assert made.json() in listed.json()["items"]
    assert me.json()["role"] == "dispatcher"
    body = {"email": new["email"], "password": PASSWORD}
    assert (await harness.client.post(f"{AT}/login", json=body)).status_code == 200


async def test_a_courier_stays_logged_in_and_lists_nobody(harness: Harness) -> None:
    tokens = await logged_in(harness, "courier")

    body = {"refresh_token": tokens["refresh_token"]}
    next_tokens = (await harness.client.post(f"{AT}/refresh", json=body)).json()
    refused = await harness.client.get(COURIERS, headers=bearer(next_tokens["access_token"]))

    assert next_tokens.keys() == tokens.keys()
    assert refused.status_code == 403
    wrong = await harness.client.post(f"{AT}/login", json={"email": "x", "password": "y"})
    assert (wrong.status_code, wrong.json()) == (401, {"detail": "Неверный адрес или пароль"})
