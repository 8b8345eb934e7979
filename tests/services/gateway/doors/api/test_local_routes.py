"""Our own routes at the doors they belong to, doors with a host of their own, and who calls."""

from ipaddress import ip_network
from itertools import product
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx import AsyncClient

from services.gateway.accounts.domain.realm import SUPERADMIN, Realm
from services.gateway.doors.api.local_routes import LocalRoutes, door_of
from services.gateway.doors.api.peer import peer_of
from services.gateway.doors.domain.door import enter
from services.gateway.doors.domain.doors import DOORS, with_hosts
from tests.services.gateway.app import KEY, PAGE, Opener, Service
from tests.services.gateway.harness import Harness, Member, bearer

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


NOT_INSTALLED = ("crm", "kiosk")


async def there(gateway: AsyncClient, path: str, host: str = "gateway") -> bool:
    """Whether something answers there; what it says of an empty form is its own affair."""
    answer = await gateway.post(path, headers={"Host": host}, data={"nothing": "in it"})
    return answer.status_code not in (404, 405, 503)


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
        paths = ("/metrics", "/ready", "/.well-known/jwks.json", "/scan/ping")
        for door, path in product(LOGINS, paths):
            # The crm's scripts have metrics of their own, in JSON.
            if (door, path) != ("crm", "/metrics"):
                status = 503 if door in NOT_INSTALLED else 404
                assert (await gateway.get(f"/{door}{path}")).status_code == status
                host = {"Host": f"{door}.shop.example"}
                assert (await gateway.get(path, headers=host)).status_code == status


@pytest.mark.parametrize(
    "path", ["/crm%2fapi/v1/auth/token", "/crm/%2e%2e/scales/auth/login", "/crm//auth/login"]
)
async def test_no_encoding_of_a_path_bypasses_the_table(gateway: AsyncClient, path: str) -> None:
    answer = await gateway.post(f"http://gateway{path}", data={"nothing": "in it"})

    assert answer.status_code in (400, 404, 503)


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
    ("path", "host", "door", "root", "path_at_door"),
    [
        ("/crm/x/both", "", "crm", "/crm", "/x/both"),
        ("/kiosk//x/both", "", "kiosk", "/kiosk", "/x/both"),
        ("/kiosk/x/both/%D1%8F", "", "kiosk", "/kiosk", "/x/both/я"),
        ("/shop/x/code", "", "shop", "/shop", "/x/code"),
        # A bound host is a door without a prefix.
        ("/x/both", "crm.shop.example:8080", "crm", "", "/x/both"),
    ],
)
def test_a_route_knows_the_door(
    path: str, host: str, door: str, root: str, path_at_door: str
) -> None:
    scope: dict[str, Any] = {"type": "http"}
    assert door_of(scope) is None
    doors = with_hosts({"crm.shop.example": "crm"}) if host else DOORS

    assert LocalRoutes(an_app().routes).route_to(
        scope, enter(doors, path, *([host] if host else []))
    )

    assert door_of(scope) == door
    assert (scope["root_path"], scope["path"]) == (root, root + path_at_door)


USERS, REFRESH, LOGOUT = "/api/v1/users", "/api/v1/auth/refresh", "/api/v1/auth/logout"


@pytest.fixture
async def admin(harness: Harness) -> Member:
    """Of the crm."""
    return await harness.member(Realm.CRM, "ADMIN")


@pytest.fixture
async def boss(harness: Harness) -> Member:
    """Of the kiosks."""
    return await harness.member(Realm.KIOSK, SUPERADMIN)


async def test_a_token_in_the_body_is_the_crms_one_in_a_cookie_the_kiosks(harness: Harness) -> None:
    engineer = await harness.account(Realm.CRM, "ENGINEER")
    staff = await harness.account(Realm.KIOSK, "staff")
    pair = (await harness.token(str(engineer.person.email))).json()
    await harness.login(str(staff.person.username))

    by_body = await harness.client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})
    by_cookie = await harness.client.post(REFRESH)
    by_cookie_and_nothing = await harness.client.post(REFRESH, json={})

    assert by_body.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert "set-cookie" not in by_body.headers
    for answer in (by_cookie, by_cookie_and_nothing):
        assert answer.json().keys() == {"access_token", "token_type", "expires_in", "user"}


async def test_without_a_token_each_door_refuses_in_its_own_shape(harness: Harness) -> None:
    post = harness.client.post

    assert (await post(REFRESH, json={})).status_code == 422
    assert (await post(f"/crm{REFRESH}")).status_code == 422
    assert (await post(REFRESH)).json()["code"] == "INVALID_TOKEN"
    assert (await post(f"/kiosk{REFRESH}", json={})).json()["code"] == "INVALID_TOKEN"
    # Whoever shows nothing is out at the crm, and nobody at the kiosks.
    for path, status in ((LOGOUT, 200), (f"/crm{LOGOUT}", 200), (f"/kiosk{LOGOUT}", 401)):
        assert (await post(path)).status_code == status
    # What is no kiosk's token is the crm's business, whose clients may send anything.
    assert (await post(LOGOUT, headers=bearer("nonsense"))).status_code == 200


async def test_the_realm_of_the_token_selects_the_users_at_its_own_doors_only(
    admin: Member, boss: Member
) -> None:
    crm, kiosk = (await admin.get(USERS)).json(), (await boss.get(USERS)).json()
    assert [user["id"] for user in crm] == [str(admin.profile.account_id)]
    assert [user["user_id"] for user in kiosk] == [boss.profile.number]

    theirs, ours = f"{USERS}/{admin.profile.account_id}", f"{USERS}/{boss.profile.number}"
    for who, method, path, status in (
        (admin, "GET", f"/crm{USERS}", 200),
        (boss, "GET", f"/kiosk{USERS}", 200),
        (boss, "GET", f"/crm{USERS}", 401),
        (admin, "GET", f"/kiosk{USERS}", 401),
        (admin, "GET", f"/kiosk{USERS}/me", 401),
        # What one of them has the other has not.
        (admin, "DELETE", theirs, 405),
        (admin, "PUT", theirs, 405),
        (boss, "PATCH", ours, 405),
        (boss, "POST", USERS, 405),
    ):
        answer = await who.ask(method, path, {})
        assert answer.status_code == status, (method, path)
        assert status != 405 or answer.text == '{"detail":"Method Not Allowed"}'


@pytest.mark.parametrize(("realm", "role"), [(Realm.SHOP, "admin"), (Realm.SCALES, "user")])
async def test_a_token_of_a_third_realm_is_refused_at_both(
    harness: Harness, realm: Realm, role: str
) -> None:
    other = await harness.member(realm, role)

    for method, path in (("GET", USERS), ("POST", USERS), ("GET", f"{USERS}/me")):
        assert (await other.ask(method, path, {})).status_code == 401


async def test_a_forged_realm_chooses_a_door_and_opens_none(
    harness: Harness, admin: Member
) -> None:
    head, _, signature = admin.headers["Authorization"].removeprefix("Bearer ").split(".")
    forged = f"{head}.eyJraW5kIjoia2lvc2sifQ.{signature}"

    for path in (f"{USERS}/", "/api/v1/auth/me"):
        answer = await harness.client.get(path, headers=bearer(forged))
        assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")


SCAN_HOST = ("scan=scan.shop.example",)


@pytest.mark.parametrize("host", ["scan.shop.example", "SCAN.Shop.Example:8443"])
async def test_a_bound_host_has_its_door(open_gateway: Opener, service: Service, host: str) -> None:
    async with open_gateway(hosts=SCAN_HOST) as gateway:
        headers = {"X-API-Key": KEY, "Host": host}
        statuses = [
            (await gateway.get(path, headers=headers)).status_code
            for path in ("/", "/api/v1/dashboard/state", "/.well-known/jwks.json")
        ]
        other = await gateway.get("/", headers={"Host": "gateway.shop.example"})

    assert statuses == [200, 200, 404]
    assert [request.path for request in service.requests] == ["/", "/api/v1/dashboard/state"]
    assert service.requests[0].headers["X-Forwarded-Host"] == host
    # Other hosts stay as they are.
    assert other.json()["name"] == "Scanner Logger API"


@pytest.mark.parametrize(("proxies", "asked"), [(("127.0.0.0/8",), 1), ((), 0)])
async def test_only_a_trusted_proxy_may_set_the_host(
    open_gateway: Opener, service: Service, proxies: tuple[str, ...], asked: int
) -> None:
    async with open_gateway(hosts=SCAN_HOST, trusted_proxies=proxies) as gateway:
        headers = {"Origin": PAGE, "X-Forwarded-Host": "scan.shop.example"}
        await gateway.get("/ping", headers=headers)

    assert len(service.requests) == asked


SCOPE = {"client": ("10.0.0.9", 1234), "scheme": "http"}
HEADERS = {
    b"host": b"gateway:8080",
    b"x-forwarded-for": b"6.6.6.6, 203.0.113.7, 10.0.0.8",
    b"x-forwarded-proto": b"https",
    b"x-forwarded-host": b"scan.example",
}
ITSELF = ("10.0.0.9", "10.0.0.9", "http", "gateway:8080")
CHAIN = "6.6.6.6, 203.0.113.7, 10.0.0.8, 10.0.0.9"


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ((), ITSELF),
        (("10.0.0.0/8",), ("203.0.113.7", CHAIN, "https", "scan.example")),
        (("192.168.0.0/16", "fd00::/8"), ITSELF),
    ],
)
def test_a_client_is_not_believed_about_itself_but_a_trusted_proxy_is(
    trusted: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    peer = peer_of(SCOPE, HEADERS, [ip_network(one) for one in trusted])

    assert (peer.address, peer.chain, peer.proto, peer.host) == expected


def test_a_connection_without_an_address_is_served_too() -> None:
    assert peer_of({"client": None}, {}, [ip_network("10.0.0.0/8")]).address == ""
