"""The gateway's own routes are found at the doors they belong to, and at no other."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx import AsyncClient

from services.gateway.api.own import OwnRoutes, door_of
from services.gateway.domain.door import enter
from services.gateway.domain.doors import DOORS, bound
from tests.services.gateway.conftest import Opener

LOGINS = {
    "scales": ("/auth/register", "/auth/login"),
    "crm": ("/api/v1/auth/token", "/api/v1/auth/refresh", "/api/v1/auth/logout"),
    "shop": ("/api/auth/request-otp", "/api/telegram/webhook"),
    "kiosk": (
        *("/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout"),
        "/api/v1/setup/superadmin",
    ),
}
HOSTS = tuple(f"{door}={door}.shop.example" for door in LOGINS)


async def there(gateway: AsyncClient, path: str, host: str = "gateway") -> bool:
    """Whether something answers there; what it says of an empty form is its own affair."""
    answer = await gateway.post(path, headers={"Host": host}, data={"nothing": "in it"})
    return answer.status_code not in (404, 405)


@pytest.mark.parametrize("door", LOGINS)
async def test_a_login_answers_at_the_root_its_prefix_and_its_host_and_at_no_other_door(
    open_gateway: Opener, door: str
) -> None:
    async with open_gateway(hosts=HOSTS) as gateway:
        for path in LOGINS[door]:
            for at in (path, f"/{door}{path}"):
                assert await there(gateway, at)
                assert await there(gateway, at, f"{door}.shop.example")
            others = [other for other in LOGINS if path not in LOGINS[other]]
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


@pytest.mark.parametrize(
    "path", ["/crm%2fapi/v1/auth/token", "/crm/%2e%2e/scales/auth/login", "/crm//auth/login"]
)
async def test_no_spelling_leads_past_the_table(gateway: AsyncClient, path: str) -> None:
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
    ("path", "host", "door", "root", "inner"),
    [
        ("/crm/x/both", "", "crm", "/crm", "/x/both"),
        ("/kiosk//x/both", "", "kiosk", "/kiosk", "/x/both"),
        ("/kiosk/x/both/%D1%8F", "", "kiosk", "/kiosk", "/x/both/я"),
        ("/shop/x/code", "", "shop", "/shop", "/x/code"),
        # A bound host is a door without a prefix.
        ("/x/both", "crm.shop.example:8080", "crm", "", "/x/both"),
    ],
)
def test_a_route_knows_the_door(path: str, host: str, door: str, root: str, inner: str) -> None:
    scope: dict[str, Any] = {"type": "http"}
    # At the root none was come in at.
    assert door_of(scope) is None
    doors = bound({"crm.shop.example": "crm"}) if host else DOORS

    assert OwnRoutes(an_app().routes).lead(scope, enter(doors, path, *([host] if host else [])))

    assert door_of(scope) == door
    assert (scope["root_path"], scope["path"]) == (root, root + inner)
