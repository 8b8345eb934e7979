"""Whoever logged in comes in by their token, and is told no in the words their client knows."""

from datetime import UTC, datetime
from typing import Any

import aiohttp
import jwt
import pytest

from libs.security.tokens import SigningKey
from tests.services.gateway.api.doorstep import ANNA, SESSION, Doorstep, access_token, doorstep
from tests.services.gateway.api.inside import bearer
from tests.services.gateway.api.live import LIVE, PATIENCE, ROOM, Live, connected, refused
from tests.services.gateway.conftest import KEY, Keys, Service, open_app
from tests.services.gateway.test_bootstrap import served

STATE = "/api/v1/dashboard/state"
BATCH = "/api/v1/events/batch"
OTHER_SESSION = SESSION.replace("1", "2")


def passed(service: Service) -> dict[str, Any]:
    """The claims of the pass that the service was shown last."""
    shown = service.asked[-1].headers["Authorization"].removeprefix("Bearer ")
    claims: dict[str, Any] = jwt.decode(shown, options={"verify_signature": False})
    return claims | {"typ": jwt.get_unverified_header(shown)["typ"]}


async def status(step: Doorstep, token: str, path: str = STATE) -> int:
    return (await step.client.get(path, headers=bearer(token))).status_code


async def test_an_access_token_is_swapped_for_a_pass_that_carries_the_session(
    step: Doorstep, service: Service
) -> None:
    token = step.token("scan:read", "crm:all")

    assert await status(step, token) == 200
    claims = passed(service)
    assert (claims["typ"], claims["aud"], claims["sid"]) == ("internal", "ingest", SESSION)
    assert (claims["sub"], claims["tenant"], claims["kind"]) == (str(ANNA), "demo", "crm")
    assert claims["scope"] == "crm:all scan:read"
    assert token not in str(service.asked[-1].headers)


async def test_where_both_are_shown_the_key_counts_and_the_scheme_is_spelled_as_one_likes(
    step: Doorstep, service: Service
) -> None:
    for key, scheme, expected in (
        (None, "bearer", 200),
        (None, "BEARER", 200),
        (KEY, "Bearer", 200),
        ("wrong", "Bearer", 401),
    ):
        headers = {"Authorization": f"{scheme} {step.token()}"}
        headers |= {} if key is None else {"X-API-Key": key}
        assert (await step.client.get(STATE, headers=headers)).status_code == expected
    assert passed(service)["kind"] == "api-key"


def error(message: str) -> dict[str, Any]:
    return {"error": {"code": "UNAUTHORIZED", "message": message, "details": {}}}


def detail(text: str) -> dict[str, str]:
    return {"detail": text}


NO_KEY = detail("Invalid or missing API key")
NOTHING, BAD = "Not authenticated", "Invalid token"


@pytest.mark.parametrize(
    ("path", "nothing", "bad", "challenges"),
    [
        (STATE, NO_KEY, NO_KEY, (None, None)),
        ("/scales/room", detail(NOTHING), detail(BAD), ("Bearer", None)),
        ("/crm/room", error(NOTHING), error(BAD), ("Bearer", None)),
        ("/kiosk/room", detail(NOTHING), detail(BAD), ("Bearer", "Bearer")),
    ],
)
async def test_each_door_refuses_in_its_own_words(
    step: Doorstep, path: str, nothing: Any, bad: Any, challenges: tuple[Any, Any]
) -> None:
    basic, none, wrong = [
        await step.client.get(path, headers=headers)
        for headers in ({"Authorization": "Basic YTpi"}, {}, bearer("nonsense"))
    ]

    assert [one.status_code for one in (none, basic, wrong)] == [401] * 3
    assert none.json() == basic.json() == nothing
    assert wrong.json() == bad
    given = (none.headers.get("www-authenticate"), wrong.headers.get("www-authenticate"))
    assert given == challenges


async def test_a_token_opens_only_what_its_scopes_say(step: Doorstep, service: Service) -> None:
    scan = await step.client.post(BATCH, headers=bearer(step.token()), json={"events": []})
    crm = await step.client.get("/crm/room", headers=bearer(step.token("other")))

    assert (scan.status_code, scan.json()) == (403, {"detail": "You may not do this"})
    assert crm.json()["error"]["code"] == "FORBIDDEN"
    assert service.asked == []


async def test_no_session_or_account_opens_nothing(step: Doorstep, service: Service) -> None:
    token = step.token()
    assert await status(step, token) == 200

    step.revoke()

    assert await status(step, token) == 401
    assert await status(step, step.token(session=OTHER_SESSION, subject="somebody")) == 401
    assert len(service.asked) == 1


async def test_accounts_and_tenants_are_counted_by_themselves(service: Service, keys: Keys) -> None:
    limit = "2/hour by key; 3/hour by tenant"
    async with doorstep(service, keys, rate_limit_dashboard=limit) as step:
        anna, boris = step.token(), step.token(subject=str(ANNA).replace("7", "8"))
        other = step.token(tenant="other", subject=str(ANNA).replace("7", "9"))
        shown = [anna, anna, anna, boris, boris, other]
        statuses = [await status(step, token) for token in shown]

    # The third of Anna's is refused before her tenant is counted; boris's second is its fourth.
    assert statuses == [200, 200, 429, 200, 429, 200]


async def test_a_websocket_ends_with_the_session_behind_it(service: Service, keys: Keys) -> None:
    key, service.answer = SigningKey.generate(), Live()
    different: dict[str, Any] = {"signing_key": key.to_pem(), "websocket_recheck_seconds": 0.02}
    async with open_app(service, keys, doors=(ROOM,), **different) as app, served(app) as url:
        shown = bearer(access_token(key, ["scan:write"]))
        async with connected(url + LIVE, shown) as socket:
            await socket.send_str("still here")
            assert (await socket.receive(PATIENCE)).data == "STILL HERE"

            app.state.deps.revocations.remember(SESSION, datetime.now(UTC))

            assert (await socket.receive(PATIENCE)).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1008
        assert await refused(url + LIVE, shown) == 401
