"""Whoever logged in comes in by their token, and is told no in the words their client knows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import jwt
import pytest

from libs.security.tokens import SigningKey
from tests.services.gateway.api.doorstep import (
    ANNA,
    SESSION,
    Doorstep,
    access_token,
    bearer,
    doorstep,
)
from tests.services.gateway.api.live import LIVE, ROOM, Live, connected, refused
from tests.services.gateway.conftest import KEY, Keys, Service, open_app
from tests.services.gateway.test_bootstrap import served

STATE = "/api/v1/dashboard/state"
BATCH = "/api/v1/events/batch"


@pytest.fixture
async def step(service: Service, keys: Keys) -> AsyncIterator[Doorstep]:
    async with doorstep(service, keys) as made:
        yield made


def passed(service: Service) -> dict[str, Any]:
    """The claims of the pass that the service was shown last."""
    shown = service.asked[-1].headers["Authorization"].removeprefix("Bearer ")
    claims: dict[str, Any] = jwt.decode(shown, options={"verify_signature": False})
    return claims | {"typ": jwt.get_unverified_header(shown)["typ"]}


async def test_an_access_token_is_swapped_for_a_pass_that_carries_the_session(
    step: Doorstep, service: Service
) -> None:
    token = step.token("scan:read", "crm:all")

    answer = await step.client.get(STATE, headers=bearer(token))

    assert answer.status_code == 200
    claims = passed(service)
    assert (claims["typ"], claims["aud"], claims["sid"]) == ("internal", "ingest", SESSION)
    assert (claims["sub"], claims["tenant"], claims["kind"]) == (str(ANNA), "demo", "crm")
    assert claims["scope"] == "crm:all scan:read"
    assert token not in str(service.asked[-1].headers)


async def test_where_both_are_shown_the_key_counts(step: Doorstep, service: Service) -> None:
    both = {"X-API-Key": KEY, **bearer(step.token())}
    worse = {"X-API-Key": "wrong", **bearer(step.token())}

    good, bad = [await step.client.get(STATE, headers=shown) for shown in (both, worse)]

    assert (good.status_code, bad.status_code) == (200, 401)
    assert passed(service)["kind"] == "api-key"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
async def test_the_scheme_is_spelled_as_one_likes(step: Doorstep, scheme: str) -> None:
    shown = {"Authorization": f"{scheme} {step.token()}"}

    assert (await step.client.get(STATE, headers=shown)).status_code == 200


@pytest.mark.parametrize(
    ("path", "nothing", "bad", "challenges"),
    [
        (STATE, {"detail": "Invalid or missing API key"}, None, (None, None)),
        (
            "/scales/room",
            {"detail": "Not authenticated"},
            {"detail": "Invalid token"},
            ("Bearer", None),
        ),
        (
            "/crm/room",
            {"error": {"code": "UNAUTHORIZED", "message": "Not authenticated", "details": {}}},
            {"error": {"code": "UNAUTHORIZED", "message": "Invalid token", "details": {}}},
            ("Bearer", None),
        ),
        (
            "/kiosk/room",
            {"detail": "Not authenticated"},
            {"detail": "Invalid token"},
            ("Bearer", "Bearer"),
        ),
    ],
)
async def test_each_door_refuses_in_its_own_words(
    step: Doorstep, path: str, nothing: Any, bad: Any, challenges: tuple[Any, Any]
) -> None:
    basic = await step.client.get(path, headers={"Authorization": "Basic YTpi"})
    none = await step.client.get(path)
    wrong = await step.client.get(path, headers=bearer("nonsense"))

    assert [one.status_code for one in (none, basic, wrong)] == [401] * 3
    assert none.json() == basic.json() == nothing
    assert wrong.json() == (bad or nothing)
    told = (none.headers.get("www-authenticate"), wrong.headers.get("www-authenticate"))
    assert told == challenges


async def test_a_token_opens_only_what_its_scopes_say(step: Doorstep, service: Service) -> None:
    shown = bearer(step.token("scan:read"))

    answer = await step.client.post(BATCH, headers=shown, json={"events": []})
    crm = await step.client.get("/crm/room", headers=bearer(step.token("other")))

    assert (answer.status_code, answer.json()) == (403, {"detail": "You may not do this"})
    assert crm.json()["error"]["code"] == "FORBIDDEN"
    assert service.asked == []


async def test_a_token_of_a_session_that_is_over_opens_nothing(
    step: Doorstep, service: Service
) -> None:
    shown = bearer(step.token())
    assert (await step.client.get(STATE, headers=shown)).status_code == 200

    step.revoke()

    assert (await step.client.get(STATE, headers=shown)).status_code == 401
    assert len(service.asked) == 1


async def test_a_token_ends_with_its_time(step: Doorstep) -> None:
    past = datetime.now(UTC) - timedelta(minutes=16)

    assert (await step.client.get(STATE, headers=bearer(step.token(now=past)))).status_code == 401


async def test_a_subject_that_is_no_account_opens_nothing(step: Doorstep) -> None:
    shown = bearer(step.token(subject="somebody"))

    assert (await step.client.get(STATE, headers=shown)).status_code == 401


async def test_accounts_and_tenants_are_counted_by_themselves(service: Service, keys: Keys) -> None:
    limit = "2/hour by key; 3/hour by tenant"
    async with doorstep(service, keys, rate_limit_dashboard=limit) as step:
        anna, boris = step.token(), step.token(subject=str(ANNA).replace("7", "8"))
        other = step.token(tenant="other", subject=str(ANNA).replace("7", "9"))
        shown = [anna, anna, anna, boris, boris, other]
        statuses = [
            (await step.client.get(STATE, headers=bearer(token))).status_code for token in shown
        ]

    # The third of Anna's is refused before her tenant is counted; boris's second is its fourth.
    assert statuses == [200, 200, 429, 200, 429, 200]


async def test_a_websocket_ends_with_the_session_it_was_opened_by(
    service: Service, keys: Keys
) -> None:
    key, live = SigningKey.generate(), Live()
    service.answer = live
    told: dict[str, Any] = {"signing_key": key.to_pem(), "websocket_recheck_seconds": 0.02}
    async with open_app(service, keys, doors=(ROOM,), **told) as app, served(app) as url:
        async with connected(url + LIVE, bearer(access_token(key, ["scan:write"]))) as socket:
            await socket.send_str("still here")
            assert (await socket.receive(10)).data == "STILL HERE"

            app.state.deps.revocations.remember(SESSION, datetime.now(UTC))

            assert (await socket.receive(10)).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1008
        assert await refused(url + LIVE, bearer(access_token(key, ["scan:write"]))) == 401
