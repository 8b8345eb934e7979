"""Access tokens are accepted at the doors, and refusals have the shape of each door."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import jwt
import pytest
from aiohttp import web

from libs.security.tokens import SigningKey
from libs.testing.polling import PATIENCE_SECONDS
from services.gateway.doors.domain.door import Limit, Rule, match_route
from services.gateway.doors.domain.doors import DOORS, SCALES
from tests.services.gateway.app import KEY, PAGE, Keys, Service, open_app
from tests.services.gateway.doorstep import ANNA, SESSION, Doorstep, access_token, doorstep
from tests.services.gateway.harness import bearer
from tests.services.gateway.live import LIVE, PATIENCE, ROOM, Live, connected, refused
from tests.services.gateway.test_bootstrap import served

STATE = "/api/v1/dashboard/state"
BATCH = "/api/v1/events/batch"
OTHER_SESSION = SESSION.replace("1", "2")


def passed(service: Service) -> dict[str, Any]:
    """The claims of the internal token that the service received last."""
    shown = service.requests[-1].headers["Authorization"].removeprefix("Bearer ")
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
    assert token not in str(service.requests[-1].headers)


async def test_a_key_counts_before_a_token_and_the_scheme_is_case_insensitive(
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
    shop = await step.client.get("/shop/room", headers=bearer(step.token("other")))

    assert (scan.status_code, scan.json()) == (403, {"detail": "You may not do this"})
    assert crm.json()["error"]["code"] == "FORBIDDEN"
    # Its pages display the text.
    assert (shop.status_code, shop.json()) == (403, {"detail": "Недостаточно прав"})
    assert service.requests == []


async def test_no_session_or_account_opens_nothing(step: Doorstep, service: Service) -> None:
    token = step.token()
    assert await status(step, token) == 200

    step.revoke()

    assert await status(step, token) == 401
    assert await status(step, step.token(session=OTHER_SESSION, subject="somebody")) == 401
    assert len(service.requests) == 1


async def test_accounts_and_tenants_are_counted_by_themselves(service: Service, keys: Keys) -> None:
    limit = "2/hour by key; 3/hour by tenant"
    async with doorstep(service, keys, rate_limit_dashboard=limit) as step:
        anna, boris = step.token(), step.token(subject=str(ANNA).replace("7", "8"))
        other = step.token(tenant="other", subject=str(ANNA).replace("7", "9"))
        shown = [anna, anna, anna, boris, boris, other]
        statuses = [await status(step, token) for token in shown]

    # The third of Anna's is refused before her tenant is counted; boris's second is its fourth.
    assert statuses == [200, 200, 429, 200, 429, 200]


async def test_public_routes_are_counted_by_address_whatever_is_shown(
    service: Service, keys: Keys
) -> None:
    async with doorstep(service, keys, doors=OPEN, rate_limit_public="2/hour") as step:
        shown: list[dict[str, str]] = [{}, bearer(step.token()), {}, bearer(step.token())]
        answers = [await step.client.get("/orders", headers=one) for one in shown]
        other = await step.client.get("/free")

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert other.status_code == 200
    assert len(service.requests) == 3


async def test_a_websocket_ends_with_its_session(service: Service, keys: Keys) -> None:
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


OPEN: Final = (
    replace(
        SCALES,
        service="ingest",
        root=("/orders", "/free"),
        rules=(
            Rule(("GET",), "/orders", None, Limit.PUBLIC),
            Rule(("GET",), "/free", None, Limit.NONE),
        ),
    ),
)
CONDITIONS: Final = (replace(SCALES, service="ingest"),)
COPY: Final = "/devices/7/products/cached"
RULES = (
    Rule(("GET", "POST"), "/quick", "scan:read", Limit.NONE),
    Rule(("GET", "POST"), "/slow", "scan:read", Limit.NONE, slow=True),
)
SLOW: Final = (replace(SCALES, service="ingest", rules=RULES),)


async def _tagged(request: web.BaseRequest) -> web.StreamResponse:
    if request.method == "PATCH":
        status = 200 if request.headers.get("If-Match") == '"1", W/"x"' else 412
        return web.json_response({"detail": "no"}, status=status, headers={"ETag": '"2"'})
    if request.headers.get("If-None-Match") == 'W/"1"':
        return web.Response(status=304, headers={"ETag": '"1"'})
    return web.json_response({}, headers={"ETag": '"1"', "Link": '<?cursor=x>; rel="next"'})


async def test_a_known_entity_tag_gets_a_304(service: Service, keys: Keys) -> None:
    service.answer = _tagged
    async with doorstep(service, keys, doors=CONDITIONS) as step:
        headers = {**bearer(step.token("scales:read")), "Origin": PAGE}
        for path in (COPY, f"/scales{COPY}"):
            whole = await step.client.get(path, headers=headers)
            again = await step.client.get(path, headers={**headers, "If-None-Match": 'W/"1"'})

            assert (whole.status_code, whole.headers["ETag"]) == (200, '"1"')
            assert whole.headers["Link"] == '<?cursor=x>; rel="next"'
            assert (again.status_code, again.headers["ETag"]) == (304, '"1"')
            assert again.content == b""
            exposed = whole.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"ETag", "Link"} <= {*exposed}


@pytest.mark.parametrize(("tags", "status"), [('"1", W/"x"', 200), ('"0"', 412)])
async def test_a_change_is_based_on_the_history_that_was_read(
    service: Service, keys: Keys, tags: str, status: int
) -> None:
    service.answer = _tagged
    async with doorstep(service, keys, doors=CONDITIONS) as step:
        headers = {**bearer(step.token("scales:write")), "If-Match": tags}
        path = "/scales/devices/7/products/1"
        answer = await step.client.patch(path, headers=headers, json={"fields": {}})

    assert (answer.status_code, answer.headers["ETag"]) == (status, '"2"')
    assert answer.json() == {"detail": "no"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("path", "slow_seconds", "status"),
    [("/quick", PATIENCE_SECONDS, 504), ("/slow", PATIENCE_SECONDS, 200), ("/slow", 0.2, 504)],
)
async def test_a_slow_route_has_time_of_its_own_and_no_more(
    service: Service, keys: Keys, method: str, path: str, slow_seconds: float, status: int
) -> None:
    async def late(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(1.2)
        return web.json_response({"status": "ok"})

    service.answer = late
    different: dict[str, Any] = {
        "doors": SLOW,
        "answer_seconds": 0.2,
        "slow_answer_seconds": slow_seconds,
        # Between the parts of an answer less is enough, also where its beginning takes long.
        "idle_seconds": 0.9,
    }
    async with doorstep(service, keys, **different) as step:
        headers = bearer(step.token())
        answer = await step.client.request(method, f"/scales{path}", headers=headers)

    assert answer.status_code == status
    assert len(service.requests) == 1


def test_those_that_speak_to_a_scale_before_they_answer_are_slow() -> None:
    slow = {(door.name, rule.path) for door in DOORS for rule in door.rules if rule.slow}

    rests = ("products", "upload", "verify", "probe")
    assert slow == {("scales", f"/devices/{{}}/{rest}") for rest in rests}


@pytest.mark.parametrize("path", ["/scales/bridges", "/bridges"])
def test_bridges_are_listed_with_the_doors_prefix_and_without(path: str) -> None:
    found = match_route(DOORS, "GET", path)

    assert (found.door.name, found.path, found.rule.scope) == ("scales", "/bridges", "scales:read")
