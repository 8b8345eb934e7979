"""Nothing that a request may hold breaks a route: own ones at every door, and those behind them."""

import random
import re
from dataclasses import replace
from functools import partial

import pytest
from fastapi import FastAPI

from libs.security.api_keys import hash_key
from libs.testing.hostile import (
    Answer,
    RawHeaders,
    RawRequest,
    RouteInputs,
    answer_of,
    inputs_of,
    token,
)
from libs.testing.hostile import assert_no_request_breaks as assert_nothing_breaks_in
from services.gateway.accounts.domain.realm import CHIEFS, Realm, Role, Workspace
from services.gateway.api_keys.stores.known_keys import KnownKeys
from services.gateway.bootstrap import create_app
from services.gateway.doors.domain.door import WEBSOCKET
from services.gateway.doors.domain.doors import DOORS
from tests.services.gateway.app import KEY, Keys, Service
from tests.services.gateway.bot_api import TOKEN, BotApi
from tests.services.gateway.harness import PLATFORM_WORKSPACE, Harness, demo_on

ROLES = (
    Role(Workspace(Realm.SCALES, "demo"), "user"),
    Role(Workspace(Realm.CRM, "demo"), CHIEFS[Realm.CRM]),
    Role(Workspace(Realm.SHOP, "shop-1"), "admin"),
    Role(Workspace(Realm.KIOSK, "demo"), CHIEFS[Realm.KIOSK]),
    Role(Workspace(Realm.KIOSK, "demo"), "kiosk"),
    Role(PLATFORM_WORKSPACE, CHIEFS[Realm.PLATFORM]),
)
EACH = 24
SOCKETS = ("/bridge", "/scales/bridge", "/scales/devices/{id}", "/api/v1/users", "/{nowhere}")


def door_slots() -> list[RouteInputs]:
    """The rules of the doors, and the root and prefix of each."""
    return [
        RouteInputs(method=method, path=f"{door.prefix}{rule.path}".replace("{}", "{id}"))
        for door in DOORS
        for rule in door.rules
        for method in rule.methods
        if method != WEBSOCKET
    ]


async def headers_of(harness: Harness) -> list[RawHeaders]:
    """A new account of each realm, logged in."""
    shown = [[*(await harness.header_of(role)).items()] for role in ROLES]
    return [[(name.lower().encode(), value.encode()) for name, value in one] for one in shown]


@pytest.mark.parametrize("proxied", [False, True], ids=("direct", "behind a proxy"))
async def test_no_request_breaks_a_route(
    url: str, service: Service, keys: Keys, bot_api: BotApi, *, proxied: bool
) -> None:
    services = dict.fromkeys(("ingest_url", "scale_bridge_url", "shop_url"), service.url)
    bot = {"telegram_token": TOKEN, "telegram_url": bot_api.url, "telegram_bot": "shop_bot"}
    believed = {"trusted_proxies": ["10.0.0.0/8"], "verify_networks": ["10.0.0.0/8"]}
    bound = {"hosts": ["kiosk=kiosk.example", "scan=a"]}
    more = {**believed, **bound} if proxied else {}
    async with demo_on(
        url, rate_limit_login="", rate_limit_public="", **services, **bot, **more
    ) as demo:
        known = KnownKeys(keys.look_up, fresh=60)
        app = create_app(replace(demo.deps, keys=known))
        own = inputs_of(app)
        account = await demo.create_account(*ROLES[:2])
        ids = [str(account.account_id), str(account.number)]
        assert len(own) > 90
        assert hash_key(KEY) in keys.callers
        shown: list[RawHeaders] = []

        def credentials(chance: random.Random) -> RawHeaders:
            return chance.choice([*shown, [(b"x-api-key", KEY.encode())]])

        tried = 0
        # One half of the routes each way: what differs is read before a route is found.
        for slots in [*own, *door_slots()][proxied::2]:
            if not shown or slots.method != "GET":
                shown = await headers_of(demo)
            tried += await assert_nothing_breaks_in(
                app, [slots], credentials, per_route=EACH, ids=ids
            )
        assert tried > 150
        sockets = [RouteInputs(method="GET", path=path) for path in SOCKETS]
        assert await assert_nothing_breaks_in(
            app, sockets, credentials, per_route=100, ids=ids, kind="websocket"
        ) > len(SOCKETS)


async def status_of(app: FastAPI, method: str, path: str, *headers: tuple[bytes, bytes]) -> int:
    named = [(b"host", b"gateway"), *headers]
    request = RawRequest(method=method, path=path, query=b"", headers=named, body=b"")
    return (await answer_of(app, request)).status


async def test_no_route_believes_one_of_two(url: str, service: Service, keys: Keys) -> None:
    services = dict.fromkeys(("ingest_url", "scale_bridge_url", "shop_url"), service.url)
    async with demo_on(url, rate_limit_login="", rate_limit_public="", **services) as demo:
        app = create_app(replace(demo.deps, keys=KnownKeys(keys.look_up, fresh=60)))
        refused = set()
        good = [dict(one)[b"authorization"] for one in await headers_of(demo)]
        for slots in [*inputs_of(app), *door_slots()]:
            path = re.sub("{[^}]*}", "1", slots.path)
            status = partial(status_of, app, slots.method, path)
            assert await status((b"host", b"gateway")) == 400, slots
            refusal = await status((b"authorization", b"Bearer nonsense"))
            for good_token in good:
                twice = [(b"authorization", good_token), (b"authorization", b"Bearer nonsense")]
                assert await status(*twice) == refusal, slots
                assert await status(*twice[::-1]) == refusal, slots
                assert await status(twice[0], twice[0]) == refusal, slots
            keyed = [(b"x-api-key", KEY.encode()), (b"x-api-key", b"wrong")]
            assert await status(*keyed) == await status(*keyed[::-1]) == await status(keyed[1])
            refused |= {(slots.method, slots.path)} if refusal == 401 else set()
        assert len(refused) > 80


@pytest.mark.parametrize(
    "claims",
    [{"kind": []}, {"kind": {}}, {"kind": ["crm"]}, {"kind": None}, [], "crm", None, 1],
    ids=range(8),
)
@pytest.mark.parametrize("path", ["/api/v1/users", "/api/v1/users/me", "/api/v1/auth/logout"])
async def test_a_token_that_names_no_realm_is_nobodys(
    harness: Harness, path: str, claims: object
) -> None:
    shown = [(b"authorization", token({"alg": "EdDSA"}, claims))]
    method = "POST" if path.endswith("logout") else "GET"

    answer: Answer = await answer_of(
        harness.app, RawRequest(method=method, path=path, query=b"", headers=shown, body=b"")
    )

    # Whoever logs out at the crm is out, whatever they show.
    assert answer.status == (200 if method == "POST" else 401)
