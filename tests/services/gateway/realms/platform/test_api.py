"""The platform's administrators log in over HTTP, and give out keys by that."""

from typing import Any

import pytest

from libs.errors import Unauthenticated
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from services.gateway.administration.handlers import administration
from tests.services.gateway.harness import (
    CHIEF,
    MANAGER,
    PASSWORD,
    PLATFORM_WORKSPACE,
    Harness,
    bearer,
)

AT = "/api/v1/platform"
KEYS = "/api/v1/keys"
KEY: dict[str, Any] = {"name": "office", "scopes": ["scan:read"]}


async def logged_in(demo: Harness, email: str, password: str = PASSWORD, path: str = AT) -> Any:
    body = {"email": email, "password": password}
    return await demo.client.post(f"{path}/login", json=body)


@pytest.mark.parametrize("prefix", ["", "/crm"])
async def test_an_administrator_logs_in_makes_keys_goes_on_and_out(
    demo: Harness, prefix: str
) -> None:
    first = await logged_in(demo, await demo.email_of(CHIEF), path=prefix + AT)
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "no-store")
    pair = first.json()
    assert pair.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 600)

    kept = {"refresh_token": pair["refresh_token"]}
    second = (await demo.client.post(f"{AT}/refresh", json=kept)).json()
    for tokens in (pair, second):
        made = await demo.client.post(KEYS, json=KEY, headers=bearer(tokens["access_token"]))
        assert made.status_code == 201, made.text

    last = {"refresh_token": second["refresh_token"]}
    assert [(await demo.client.post(f"{AT}/logout", json=last)).status_code for _ in "ab"] == [
        204,
        204,
    ]
    assert (await demo.client.post(f"{AT}/refresh", json=last)).status_code == 401
    listed = await demo.client.get(KEYS, headers=bearer(second["access_token"]))
    assert listed.status_code == 401


async def test_only_they_log_in_and_refusals_are_alike(demo: Harness) -> None:
    chief = await demo.create_account(CHIEF)
    gone = await demo.create_account(CHIEF)
    await demo.catch_up()
    await administration.deactivate(
        demo.deps.identity, gone.account_id, reason="test", actor="test"
    )
    elsewhere = await demo.email_of(MANAGER, Role(Workspace(Realm.CRM, "demo"), "ADMIN"))
    tried = [
        (chief.person.email, "another password"),
        (gone.person.email, PASSWORD),
        (elsewhere, PASSWORD),
        ("nobody@shop.example", PASSWORD),
        ("no address", PASSWORD),
    ]

    answers = [await logged_in(demo, str(email), password) for email, password in tried]

    assert {one.status_code for one in answers} == {401}
    assert {one.text for one in answers} == {'{"detail":"Incorrect e-mail address or password"}'}
    assert all(one.headers["WWW-Authenticate"] == "Bearer" for one in answers)
    assert (await logged_in(demo, str(chief.person.email))).status_code == 200


async def test_a_password_is_not_tried_without_end(demo: Harness) -> None:
    email = await demo.email_of(CHIEF)

    statuses = [(await logged_in(demo, email, f"guess {n}")).status_code for n in range(12)]

    assert statuses[0] == 401
    assert statuses[-1] == 429


async def test_a_refresh_token_counts_in_its_own_realm(demo: Harness) -> None:
    approver = await demo.create_account(MANAGER)
    into, _ = await demo.log_in(approver, MANAGER.workspace)
    chief, _ = await demo.log_in(await demo.create_account(CHIEF), PLATFORM_WORKSPACE)

    refused = await demo.client.post(f"{AT}/refresh", json={"refresh_token": into.refresh_token})
    at_crm = {"refresh_token": chief.refresh_token}

    assert refused.status_code == 401
    assert (await demo.client.post("/crm/api/v1/auth/refresh", json=at_crm)).status_code == 401
    with pytest.raises(Unauthenticated):
        await demo.deps.verifier.principal(f"Bearer {chief.refresh_token}")
