"""The gateway's own routes are found at the doors they belong to, and at no other."""

from typing import Any, cast

import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx import AsyncClient

from services.gateway.api.own import OwnRoutes, door_of
from services.gateway.domain.door import enter
from services.gateway.domain.doors import CRM, DOORS, KIOSK, SCALES, SHOP, bound
from tests.services.gateway.conftest import KEY, Keys, Opener, Service, open_app

LOGINS = {
    "scales": ("/auth/register", "/auth/login"),
    "crm": ("/api/v1/auth/token", "/api/v1/auth/refresh", "/api/v1/auth/logout"),
    "shop": ("/api/auth/request-otp", "/api/telegram/webhook"),
    "kiosk": (
        "/api/v1/auth/login",
        "/api/v1/auth/refresh",
        "/api/v1/auth/logout",
        "/api/v1/setup/superadmin",
    ),
}
PATHS = [(door, path) for door, paths in LOGINS.items() for path in paths]
HOSTS = tuple(f"{door}={door}.shop.example" for door in LOGINS)
NOT_THERE = (404, 405)


async def there(gateway: AsyncClient, path: str, host: str = "gateway") -> bool:
    """Whether something answers there; what it says of an empty form is its own affair."""
    answer = await gateway.post(path, headers={"Host": host}, data={"nothing": "in it"})
    return answer.status_code not in NOT_THERE


@pytest.mark.parametrize(("door", "path"), PATHS)
async def test_a_login_answers_at_the_root_at_its_prefix_and_at_its_host(
    open_gateway: Opener, door: str, path: str
) -> None:
    async with open_gateway(hosts=HOSTS) as gateway:
        assert await there(gateway, path)
        assert await there(gateway, f"/{door}{path}")
        assert await there(gateway, path, f"{door}.shop.example")
        assert await there(gateway, f"/{door}{path}", f"{door}.shop.example")


@pytest.mark.parametrize(("door", "path"), PATHS)
async def test_a_login_is_not_to_be_found_at_another_door(
    open_gateway: Opener, door: str, path: str
) -> None:
    others = [other for other in LOGINS if path not in LOGINS[other]]
    async with open_gateway(hosts=HOSTS) as gateway:
        for other in [*others, "scan"]:
            assert not await there(gateway, f"/{other}{path}"), other
        for other in others:
            assert not await there(gateway, path, f"{other}.shop.example"), other


async def test_nothing_else_of_ours_is_at_a_door(open_gateway: Opener) -> None:
    async with open_gateway(hosts=HOSTS) as gateway:
        for path in ("/metrics", "/ready", "/.well-known/jwks.json", "/scan/ping"):
            for door in LOGINS:
                assert (await gateway.get(f"/{door}{path}")).status_code == 404
                host = {"Host": f"{door}.shop.example"}
                assert (await gateway.get(path, headers=host)).status_code == 404


async def test_a_redirect_stays_at_the_door(open_gateway: Opener) -> None:
    async with open_gateway() as gateway:
        answer = await gateway.post("/scales/auth/login/")

    assert answer.status_code == 307
    assert answer.headers["location"] == "http://gateway/scales/auth/login"


async def test_what_a_doors_service_has_is_not_shadowed(
    open_gateway: Opener, service: Service
) -> None:
    async with open_gateway() as gateway:
        answer = await gateway.get("/scan/ping", headers={"X-API-Key": KEY})

    assert answer.status_code == 200
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "path", ["/crm%2fapi/v1/auth/token", "/crm/%2e%2e/scales/auth/login", "/crm//auth/login"]
)
async def test_no_spelling_leads_past_the_table(open_gateway: Opener, path: str) -> None:
    async with open_gateway() as gateway:
        answer = await gateway.post(f"http://gateway{path}", data={"nothing": "in it"})

    assert answer.status_code in (400, 404)


def an_app() -> FastAPI:
    app = FastAPI()
    router = APIRouter(prefix="/x")

    @router.get("/both", tags=["crm", "kiosk"])
    @router.get("/both/{one}", tags=["crm", "kiosk"])
    async def both(request: Request) -> dict[str, Any]:
        return {"door": door_of(request.scope)}

    @router.get("/code", tags=["auth"])
    async def code() -> None:
        """A shop's."""

    app.include_router(router)
    return app


@pytest.mark.parametrize(
    ("path", "door", "inner"),
    [
        ("/crm/x/both", "crm", "/x/both"),
        ("/kiosk//x/both", "kiosk", "/x/both"),
        ("/kiosk/x/both/%D1%8F", "kiosk", "/x/both/я"),
        ("/shop/x/code", "shop", "/x/code"),
    ],
)
def test_a_route_hears_which_door_a_request_came_in_at(path: str, door: str, inner: str) -> None:
    scope: dict[str, Any] = {"type": "http"}

    assert OwnRoutes(an_app().routes).lead(scope, enter(DOORS, path))

    assert door_of(scope) == door
    assert (scope["root_path"], scope["path"]) == (f"/{door}", f"/{door}{inner}")


def test_at_the_root_no_door_was_come_in_at() -> None:
    assert door_of({"type": "http"}) is None


def test_a_bound_host_is_a_door_without_a_prefix() -> None:
    scope: dict[str, Any] = {"type": "http"}
    entry = enter(bound({"crm.shop.example": "crm"}), "/x/both", "crm.shop.example:8080")

    assert OwnRoutes(an_app().routes).lead(scope, entry)

    assert (door_of(scope), scope["root_path"], scope["path"]) == ("crm", "", "/x/both")


async def test_every_route_of_ours_is_somewhere_on_purpose(service: Service, keys: Keys) -> None:
    async with open_app(service, keys) as app:
        own = OwnRoutes(cast(FastAPI, app).routes)

    for door in (SCALES, CRM, SHOP, KIOSK):
        assert set(LOGINS[door.name]) <= {route.path_format for route in own.routes_of(door)}
