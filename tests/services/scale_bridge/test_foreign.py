"""Who may do what: others' ids are unknown, lists hold nothing of others, scopes are demanded.

The walks go over all routes that the service's own description names (§1.3, S30).
"""

import re
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from libs.http.undeclared import undeclared_routes
from libs.testing.polling import eventually
from libs.testing.routes import (
    Route,
    assert_foreign_ids_are_unknown,
    assert_head_is_get_without_a_body,
    assert_lists_reveal_nothing,
    assert_writes_change_nothing_of_others,
    routes_of,
)
from libs.testing.visible import awaited_models
from services.gateway.doors.domain.doors import SCALES
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.settings import Settings
from tests.services.scale_bridge.pricing import ARTICLE, announce, changed
from tests.services.scale_bridge.service import ANNA, BORIS, open_device, open_service, register

BODIES: Final[dict[tuple[str, str], Any]] = {
    ("PUT", "/devices/{device_id}"): {"name": "mine"},
    ("PATCH", "/devices/{device_id}/products/{plu}"): {"fields": {"price": 0.01}},
    ("PUT", "/devices/{device_id}/schedule"): {"enabled": True, "at": ["08:00"]},
    ("PUT", "/devices/{device_id}/profile"): {"shop": "mine", "next_verification": None},
    ("PUT", "/devices/{device_id}/strictness"): {"relaxed": ["hash"], "reason": "mine"},
    ("POST", "/devices/{device_id}/operations"): {"kind": "upload", "full": True},
    ("POST", "/devices"): {"name": "mine", "ip": "127.0.0.1", "password": "1234"},
    ("PUT", "/barcodes/rules"): {
        "rules": [
            {
                "name": "mine",
                "prefix": "20",
                "code_digits": 5,
                "measure": "weight_g",
                "measure_digits": 5,
            }
        ]
    },
    ("POST", "/barcodes/decode"): {"code": "2000051012340"},
}
"""Bodies that would do the most."""
OF_THE_TENANT: Final = (
    ("GET", "/prices/{article}/delivery"),
    ("GET", "/prices/{article}/delivery/stream"),
)
"""Prices are the tenant's; only the scales below them have an owner (test_prices)."""
STREAM: Final = ("GET", "/devices/board/stream")
FOR_READERS: Final = ("POST", "/barcodes/decode")
FOR_AGENTS: Final = ("POST", "/bridges/key")


@pytest.mark.parametrize(
    ("subject", "tenant", "shared"),
    [(BORIS, "demo", OF_THE_TENANT), (BORIS, "other", ()), (ANNA, "other", ())],
    ids=["another owner", "another tenant", "the same account in another tenant"],
)
async def test_ids_of_others_are_unknown_on_every_route(
    database: str, subject: UUID, tenant: str, shared: tuple[tuple[str, str], ...]
) -> None:
    """On all that the gateway's door lets through with an id in its path."""
    async with (
        open_device(database) as device,
        device.service.client(subject, tenant=tenant) as stranger,
    ):
        await announce(device.service, changed())
        await eventually(device.service.all_ended)
        done = (await device.read("/operations"))[0]["id"]
        parts = {"plu": "1", "revision": "1", "message_id": "1"}
        theirs = {"device_id": str(device.number), "operation_id": done, "article": str(ARTICLE)}
        unknown = {"device_id": "999999", "operation_id": str(uuid4()), "article": "999999"}
        before = await device.service.events()

        walked = await assert_foreign_ids_are_unknown(
            stranger,
            device.service.app.openapi(),
            foreign=parts | theirs,
            unknown=parts | unknown,
            bodies=BODIES,
            except_for=shared,
        )

        in_door = {(method, rule.path) for rule in SCALES.rules for method in rule.methods}
        with_ids = {one for one in in_door if "{}" in one[1] and one[0] != "HEAD"}
        anonymised = {(method, re.sub(r"{\w+}", "{}", path)) for method, path in (*walked, *shared)}
        assert anonymised == with_ids
        assert await device.service.events() == before


async def test_lists_hold_nothing_of_others(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        await register(anna, "cheese")
        for subject, tenant in ((BORIS, "demo"), (BORIS, "other"), (ANNA, "other")):
            async with service.client(subject, tenant=tenant) as stranger:
                walked = await assert_lists_reveal_nothing(
                    stranger,
                    service.app.openapi(),
                    ["cheese"],
                    except_for=[STREAM],
                    query={"price_id": str(uuid4())},
                )
                for path in ("/devices", "/devices/board", "/shops", "/bridges"):
                    assert ("GET", path) in walked
                    assert (await stranger.get(path)).status_code == 200
                    assert ("cheese" in (await anna.get(path)).text) is (path != "/bridges")


async def test_what_another_owner_writes_changes_nothing_of_ones_own(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        await register(anna, "cheese")
        for subject, tenant in ((BORIS, "demo"), (BORIS, "other")):
            async with service.client(subject, tenant=tenant) as stranger:
                walked = await assert_writes_change_nothing_of_others(
                    stranger,
                    service.app.openapi(),
                    [anna],
                    bodies=BODIES,
                    # The board says how long ago; what stands on it is in the other lists.
                    except_for=[STREAM, ("GET", "/devices/board")],
                    catch_up=service.caught_up,
                )
                assert ("PUT", "/barcodes/rules") in walked


async def test_head_is_answered_wherever_get_is(database: str) -> None:
    ids = {"device_id": "999999", "operation_id": str(uuid4()), "article": "999999"}
    ids |= {"plu": "1", "revision": "1", "message_id": "1"}
    async with open_service(database) as service, service.client() as anna:
        await register(anna, "cheese")
        endless = [path for _, path in (STREAM, OF_THE_TENANT[1])]
        walked = await assert_head_is_get_without_a_body(
            anna, service.app.openapi(), ids, endless=endless
        )

    assert {"/devices", "/devices/{device_id}", *endless} <= {*walked}


async def test_every_route_demands_its_scope(database: str) -> None:
    async with (
        open_service(database) as service,
        service.anonymous() as anonymous,
        service.client(scopes=["scales:read"]) as reader,
        service.client(scopes=["scales:bridge"]) as agent,
    ):
        assert not undeclared_routes(service.app)
        known = {model.name for model in SERVICE.projections(service.settings)}
        assert awaited_models(service.app) < known

        async def status(client: Any, route: Route) -> int:
            path = re.sub(r"{\w+}", "1", route.path)
            answer = await client.request(
                route.method, path, params=route.query(), json=route.body()
            )
            return int(answer.status_code)

        for route in routes_of(service.app.openapi()):
            name = (route.method, route.path)
            reads = route.method == "GET" or name == FOR_READERS
            assert await status(anonymous, route) == 401, name
            if name != FOR_AGENTS:
                assert await status(agent, route) == 403, name
            if name != STREAM:
                assert (await status(reader, route) == 403) is not reads, name


async def test_callers_without_a_good_token_learn_how_to_get_one(database: str) -> None:
    async with open_service(database) as service, service.anonymous() as anonymous:
        without = await anonymous.get("/devices")
        basic = await anonymous.get("/devices", headers={"Authorization": "Basic YTpi"})
        wrong = await anonymous.get("/devices", headers={"Authorization": "Bearer wrong"})

        for answer in (without, basic):
            assert (answer.status_code, answer.json()["detail"]) == (401, "Not authenticated")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (wrong.status_code, wrong.json()["detail"]) == (401, "Invalid token")
        assert "WWW-Authenticate" not in wrong.headers


@pytest.mark.parametrize("debug", [False, True])
async def test_documentation_is_public_only_while_debugging(database: str, *, debug: bool) -> None:
    """(§1.1, 14) The gateway, which shows a part of it, always gets it."""
    async with open_service(database, debug=debug) as service, service.anonymous() as anonymous:
        pages = ("/docs", "/redoc", "/openapi.json")
        statuses = [(await anonymous.get(path)).status_code for path in pages]
        document = (await anonymous.get("/internal/openapi.json")).json()

    assert statuses == [200 if debug else 404] * 3
    assert document["info"] == {"title": "Scales API", "version": "1.0.0"}
    assert "/devices/{device_id}/products/cached" in document["paths"]
    assert Settings.SHARED["debug"] == "DEBUG"
