"""The table of attacks on the data of others: every route of every realm, by every stranger.

A stranger is a second account of the same tenant: one that registered itself, where people may, and
elsewhere whoever may do the least. The routes come from the gateway's own description.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from uuid import uuid4

import httpx
import pytest
from httpx import AsyncClient

from contracts.gateway import DeviceEnrolled
from libs.testing.routes import (
    REFUSED,
    assert_foreign_ids_are_unknown,
    assert_lists_reveal_nothing,
    assert_writes_change_nothing_of_others,
    routes_of,
)
from services.gateway.accounts.domain.person import Person, email
from services.gateway.accounts.domain.realm import Realm, Role, Workspace, scopes_of
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.accounts.handlers.address import owner_in
from services.gateway.accounts.handlers.identity import Profile, profile
from services.gateway.api_keys import handlers as keys
from services.gateway.doors.domain.doors import DOORS
from services.gateway.realms.shop.handlers.shop import register_shop
from tests.services.gateway.code_context import some_phone
from tests.services.gateway.device import BRIDGE, answered, request_codes
from tests.services.gateway.harness import (
    KIOSKS,
    NEW_PASSWORD,
    PASSWORD,
    SCALES,
    Harness,
    bearer,
    claims_of,
    crm_user,
    demo_on,
    some_email,
    some_name,
)

CRM: Final = Workspace(Realm.CRM, "demo")
Enter: TypeAlias = Callable[[], Awaitable[dict[str, str]]]


class Fresh(httpx.Auth):
    """A session of its own for every write: some end the one they come from."""

    def __init__(self, enter: Enter) -> None:
        self._enter = enter
        self._reading: dict[str, str] = {}

    async def async_auth_flow(self, request: httpx.Request) -> Any:
        if request.method != "GET" or not self._reading:
            self._reading = await self._enter()
        request.headers.update(self._reading)
        yield request


@dataclass
class Table:
    """A gateway with an account of every realm, and the texts that others must not see."""

    demo: Harness
    stack: AsyncExitStack
    foreign: dict[str, str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    owners: list[AsyncClient] = field(default_factory=list)
    boss: AsyncClient = field(init=False)
    victims: list[tuple[Person, Workspace]] = field(default_factory=list)

    async def registered(self) -> Profile:
        """An account registered at the scales."""
        address = some_email()
        async with self.demo.another_client() as client:
            body = {"email": address, "password": PASSWORD}
            assert (await client.post("/auth/register", json=body)).status_code == 201
        identity = self.demo.deps.identity
        account_id = await owner_in(identity, email(address), SCALES)
        assert account_id is not None
        return await profile(identity, account_id)

    async def bridge_of(self, owner: Profile) -> Profile:
        """An approved scale bridge."""
        device = await request_codes(
            self.demo.client, BRIDGE, device_name=f"of {owner.person.email}"
        )
        async with self.demo.another_client() as browser:
            await answered(browser, device.user_code, str(owner.person.email))
        assert (await device.poll()).status_code == 200
        made = (await self.demo.events(DeviceEnrolled))[-1]
        assert made.enrolled_by == owner.account_id
        return await profile(self.demo.deps.identity, made.account_id)

    async def shop(self, name: str) -> tuple[Profile, Workspace]:
        """A shop, and who registered it."""
        identity = self.demo.deps.identity
        account_id, shop = await register_shop(
            identity, some_phone(), name=name, city="Алматы", telegram_id=None
        )
        return await profile(identity, account_id), workspace_of_shop(shop.tenant)

    async def owner(self, who: Profile, workspace: Workspace, *, logs_in: bool = True) -> None:
        """Log in an account whose data others must not see."""
        into, headers = await self.demo.log_in(who, workspace, device=f"till of {who.account_id}")
        client = await self.stack.enter_async_context(self.demo.another_client(headers))
        self.owners.append(client)
        self.sessions.append(str(into.session_id))
        person = who.person
        if logs_in:
            self.victims.append((person, workspace))
        known = (person.email, person.phone, person.username, who.account_id, into.session_id)
        self.secrets += [str(one) for one in known if one]

    async def logins(self) -> list[tuple[str, ...]]:
        """Everybody logs in once more: as whom, what they may where, and the shops they are of."""
        return [await self._login(person, workspace) for person, workspace in self.victims]

    async def _login(self, person: Person, workspace: Workspace) -> tuple[str, ...]:
        async with self.demo.another_client() as client:
            if workspace.realm == Realm.SHOP:
                phone = {"phone": person.phone}
                code = (await client.post("/api/auth/request-otp", json=phone)).json()["otp"]
                shown = phone | {"otp_code": code}
                answer = await client.post("/api/auth/verify-otp", json=shown)
            elif workspace.realm == Realm.KIOSK:
                known = {"username": person.username, "password": PASSWORD}
                answer = await client.post("/api/v1/auth/login", json=known)
            else:
                known = {"username": person.email, "password": PASSWORD}
                path = "/auth/login" if workspace.realm == Realm.SCALES else "/api/v1/auth/token"
                answer = await client.post(path, data=known)
            assert answer.status_code == 200, (workspace, answer.text)
            token = answer.json()["access_token"]
            shops = (await client.get("/api/auth/shops", headers=bearer(token))).json()
        mine = [one["tenant"] for one in shops.get("items", []) if not one["invited"]]
        said = claims_of(self.demo.deps, token)
        return said.subject, said.kind, said.tenant, *sorted(said.scopes), *mine

    async def stranger(self, who: Profile, workspace: Workspace) -> AsyncClient:
        """A client of an account that owns none of the data."""

        async def enter() -> dict[str, str]:
            return (await self.demo.log_in(who, workspace))[1]

        client = self.demo.another_client(auth=Fresh(enter))
        return await self.stack.enter_async_context(client)

    async def document(self) -> dict[str, Any]:
        """What the clients of all doors may ask, each under its prefix."""
        paths: dict[str, Any] = {}
        schemas: dict[str, Any] = {}
        for door in DOORS:
            one = (await self.demo.client.get(f"{door.prefix}/openapi.json")).json()
            paths |= {f"{door.prefix}{path}": routes for path, routes in one["paths"].items()}
            schemas |= one["components"]["schemas"]
        return {"paths": paths, "components": {"schemas": schemas}}

    async def fill(self) -> None:
        """An account of every realm, with a bridge, a shop and a key."""
        demo = self.demo
        anna = await self.registered()
        await self.owner(anna, SCALES)
        await self.owner(await self.bridge_of(anna), SCALES, logs_in=False)
        bella, shop = await self.shop("Тайные розы")
        await self.owner(bella, shop)
        for workspace, role in ((CRM, "ADMIN"), (CRM, "ENGINEER"), (KIOSKS, "superadmin")):
            who = await demo.create_account(
                Role(workspace, role), username=some_name(), name="Ольга"
            )
            await self.owner(who, workspace)
            if role == "ADMIN":
                self.boss = self.owners[-1]
            uuid_or_number = who.account_id if workspace == CRM else who.number
            self.people[workspace.realm] = str(uuid_or_number)
            self.foreign["username"] = str(who.person.username)
        made = await keys.issue(
            demo.deps.store, tenant="demo", name="till", scopes=["scan:read"], actor="test"
        )
        self.foreign |= {"key_id": str(made.key_id), "number": str(bella.number)}
        self.foreign["tenant"] = shop.tenant
        self.secrets += ["Тайные розы", str(made.key_id)]
        await demo.catch_up()


@pytest.fixture
async def table(database: str) -> AsyncIterator[Table]:
    async with demo_on(database) as demo, AsyncExitStack() as stack:
        made = Table(demo, stack)
        await made.fill()
        yield made


async def of_scales(table: Table) -> tuple[Profile, Workspace]:
    return await table.registered(), SCALES


async def bridge(table: Table) -> tuple[Profile, Workspace]:
    return await table.bridge_of(await table.registered()), SCALES


async def of_shop(table: Table) -> tuple[Profile, Workspace]:
    return await table.shop("Мои розы")


async def florist(table: Table) -> tuple[Profile, Workspace]:
    _, workspace = await table.shop("Мои розы")
    return await table.demo.create_account(
        Role(workspace, "florist"), phone=some_phone()
    ), workspace


def with_role(workspace: Workspace, role: str) -> Any:
    async def made(table: Table) -> tuple[Profile, Workspace]:
        return await table.demo.create_account(
            Role(workspace, role), username=some_name()
        ), workspace

    made.__name__ = f"{workspace.realm} {role}"
    return made


SUPERVISOR: Final = with_role(CRM, "SUPERVISOR")
"""Who may read who the users of the crm are, and change none."""
STRANGERS = pytest.mark.parametrize(
    "stranger",
    [
        of_scales,
        bridge,
        of_shop,
        florist,
        with_role(CRM, "ENGINEER"),
        SUPERVISOR,
        with_role(KIOSKS, "staff"),
        with_role(KIOSKS, "kiosk"),
    ],
    ids=lambda one: one.__name__,
)
UNKNOWN: Final = {
    "key_id": str(uuid4()),
    "session_id": str(uuid4()),
    "number": "999999999",
    "tenant": "shop-999999999",
    "username": "nobody-has-this-name",
}
SOME: Final[dict[str, Any]] = {"phone": "+77019999999", "name": "Роза", "city": "Алматы"}
_BODIES: Final[dict[tuple[str, str], Any]] = {
    ("POST", "/api/auth/request-otp"): SOME,
    ("POST", "/api/auth/verify-otp"): SOME | {"otp_code": "000000"},
    ("POST", "/api/auth/complete-registration"): SOME,
    ("POST", "/api/auth/telegram-register"): SOME | {"shop_name": "Роза"},
    ("POST", "/api/users/"): SOME | {"role": "courier"},
    ("POST", "/api/v1/account/password"): {"old_password": "wrong", "new_password": NEW_PASSWORD},
    ("POST", "/api/v1/users/me/password"): {
        "current_password": PASSWORD,
        "new_password": NEW_PASSWORD,
    },
    ("POST", "/api/v1/keys"): {"name": "mine", "scopes": ["scan:read"]},
}
BODIES: Final = {
    (method, f"{door.prefix}{path}"): body
    for (method, path), body in _BODIES.items()
    for door in DOORS
}
"""Bodies that would do the most."""
CRM_USERS: Final = ("GET", "/crm/api/v1/users")
LAST_LOGINS: Final = [
    CRM_USERS,
    ("GET", "/crm/api/v1/users/supervisors"),
    ("GET", "/kiosk/api/v1/users/"),
]
"""Where their administrators see when a stranger of the same realm logged in."""


INVITED: Final = [("GET", f"{door.prefix}/api/auth/shops") for door in DOORS]
"""Where people see who would like to have them."""


@STRANGERS
async def test_nothing_of_others_is_displayed_or_changed(table: Table, stranger: Any) -> None:
    who, workspace = await stranger(table)
    client, document = await table.stranger(who, workspace), await table.document()
    user_id = table.people.get(workspace.realm, table.people[Realm.KIOSK])
    unknown_user = str(uuid4()) if workspace.realm == Realm.CRM else "999999999"
    await table.demo.catch_up()

    with_ids = {(one.method, one.path) for one in routes_of(document) if one.names}
    walked: set[tuple[str, str]] = set()
    for session_id in table.sessions:
        # Of the other sessions only what asks for a session is of interest.
        known = {one for one in walked if "{session_id}" not in one[1]}
        walked |= {
            *await assert_foreign_ids_are_unknown(
                client,
                document,
                foreign=table.foreign | {"user_id": user_id, "session_id": session_id},
                unknown=UNKNOWN | {"user_id": unknown_user},
                bodies=BODIES,
                statuses=REFUSED,
                except_for=[*known],
            )
        }
    assert walked == with_ids
    shown = [CRM_USERS] if stranger is SUPERVISOR else []
    lists = await assert_lists_reveal_nothing(
        client, document, table.secrets, statuses=(200, *REFUSED), except_for=shown
    )
    before, newcomer = await table.logins(), some_email()
    people = [named(person) for person, _ in table.victims] + [{"email": newcomer}]
    written = await assert_writes_change_nothing_of_others(
        client,
        document,
        table.owners,
        bodies=BODIES,
        people=people,
        except_for=[*INVITED, *(LAST_LOGINS if workspace in (CRM, KIOSKS) else [])],
        statuses=(200, 201, 204, 400, *REFUSED, 409, 422, 429, 503),
        catch_up=table.demo.catch_up,
    )

    every = {(one.method, one.path) for one in routes_of(document)}
    assert {*walked, *lists, *shown, *written} == every
    assert await table.logins() == before
    taken = [newcomer] if workspace == CRM else [newcomer, str(who.person.email or newcomer)]
    for address in {*taken}:
        made = await table.boss.post("/crm/api/v1/users", json=crm_user(email=address))
        assert made.status_code == 201, made.text
    for owner in table.owners:
        assert (await owner.get("/api/v1/sessions")).status_code == 200


def named(person: Person) -> dict[str, str]:
    """The fields of bodies that say who is meant."""
    known = {"phone": person.phone, "email": person.email, "username": person.username}
    return {name: value for name, value in known.items() if value}


def test_the_role_of_a_registration_is_valid_at_one_door_only() -> None:
    for realm, role in ((Realm.SCALES, "user"), (Realm.SHOP, "admin")):
        scopes = scopes_of(realm, role)
        for door in DOORS:
            open_to = {rule.path for rule in door.rules if rule.scope in scopes}
            assert not open_to or door.name == realm, (realm, door.name)
