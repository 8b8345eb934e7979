"""What ends sessions ends those as well that were opened a moment before, or at the same time.

No projector runs here, so no read model knows of any of these sessions.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import pytest

from contracts.gateway import GatewayEvent, SessionOpened
from libs.errors import Unauthenticated
from libs.eventsourcing.log import Appended
from libs.eventsourcing.store import EventStore
from services.gateway.accounts.domain.realm import CHIEFS, SCOPES, Place, Realm, Role
from services.gateway.accounts.handlers.identity import Identity, Profile
from services.gateway.accounts.stores.advisory_lock import AdvisoryLock
from services.gateway.administration.handlers import administration
from services.gateway.administration.handlers.account import reset_password
from services.gateway.sessions.handlers import session as sessions
from services.gateway.sessions.handlers.session import LoggedIn, open_session
from tests.services.gateway.house import HOUSE, NEW_PASSWORD, House

SESSIONS: Final = "/api/v1/sessions"
ROLES: Final = [
    Role(HOUSE if realm == Realm.PLATFORM else Place(realm, "demo"), name)
    for realm, name in sorted(SCOPES)
]
Deed = Callable[[Identity, Profile, Place], Awaitable[Any]]


async def deactivate(identity: Identity, who: Profile, _: Place) -> None:
    await administration.deactivate(identity, who.account_id, reason="test", actor="test")


async def suspend(identity: Identity, who: Profile, place: Place) -> None:
    await deactivate(identity, who, place)
    await administration.activate(identity, who.account_id, actor="test")


async def remove(identity: Identity, who: Profile, _: Place) -> None:
    await administration.remove(identity, who.account_id, actor="test")


async def withdraw(identity: Identity, who: Profile, place: Place) -> None:
    await administration.withdraw_role(identity, who.account_id, place, actor="test")


async def change_role(identity: Identity, who: Profile, place: Place) -> None:
    others = (role for role in ROLES if role.place == place and role.name != who.roles[place])
    if (other := next(others, None)) is not None:
        await administration.grant_role(identity, who.account_id, other, actor="test")
    else:
        # The realm has one role only: to lose it is all that can happen to somebody there.
        await withdraw(identity, who, place)


async def set_password(identity: Identity, who: Profile, _: Place) -> None:
    await reset_password(identity, who.account_id, new=NEW_PASSWORD, actor="test")


DEEDS: Final[dict[str, Deed]] = {
    "deactivated": deactivate,
    "suspended": suspend,
    "removed": remove,
    "withdrawn": withdraw,
    "another role": change_role,
    "another password": set_password,
}


async def status(house: House, headers: dict[str, str]) -> int:
    return (await house.client.get(SESSIONS, headers=headers)).status_code


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_session_that_was_opened_a_moment_ago_ends_whatever_the_role(
    demo: House, deed: str
) -> None:
    for realm, chief in CHIEFS.items():
        await demo.somebody(next(r for r in ROLES if (r.place.realm, r.name) == (realm, chief)))
    people = [await demo.somebody(role) for role in ROLES]
    await demo.catch_up()
    inside = [await demo.inside(who, role.place) for who, role in zip(people, ROLES, strict=True)]
    assert {await status(demo, headers) for _, headers in inside} == {200}

    for who, role in zip(people, ROLES, strict=True):
        await DEEDS[deed](demo.deps.identity, who, role.place)

    statuses = [await status(demo, headers) for _, headers in inside]
    survived = [role for role, answer in zip(ROLES, statuses, strict=True) if answer != 401]
    assert survived == []


class Meanwhile(EventStore[GatewayEvent]):
    """Lets something happen once, just before or just after a session stands in the log."""

    def __init__(self, store: EventStore[GatewayEvent], deed: Any, *, before: bool) -> None:
        super().__init__(store.log, store.codec)
        self._deed = deed
        self._before = before

    async def append(self, stream: str, events: Any, **options: Any) -> Appended:
        deed = self._deed if any(isinstance(event, SessionOpened) for event in events) else None
        if deed is not None:
            self._deed = None
        if deed is not None and self._before:
            await deed()
        appended = await super().append(stream, events, **options)
        if deed is not None and not self._before:
            await deed()
        return appended


@pytest.mark.parametrize("before", [True, False], ids=("before", "after"))
@pytest.mark.parametrize("deed", DEEDS)
async def test_nobody_gets_in_past_a_deed_that_is_done_at_the_same_time(
    demo: House, deed: str, before: bool
) -> None:
    place = Place(Realm.CRM, "demo")
    anna = await demo.somebody(Role(place, "ENGINEER"))
    identity = demo.deps.identity
    opened: LoggedIn | None = None

    async def done() -> None:
        await DEEDS[deed](identity, anna, place)

    racing = replace(identity, store=Meanwhile(identity.store, done, before=before))
    with pytest.raises(Unauthenticated):
        opened = await open_session(racing, anna.account_id, place, device="phone")

    assert opened is None
    begun = [one.session_id for one in await demo.events(SessionOpened)]
    assert begun
    assert all(demo.deps.revocations.is_revoked(str(one)) for one in begun[-1:])


async def test_two_changes_of_a_role_at_once_leave_no_session_of_the_first(demo: House) -> None:
    place = Place(Realm.KIOSK, "demo")
    anna = await demo.somebody(Role(Place(Realm.SCALES, "demo"), "user"))
    identity = demo.deps.identity
    inside: list[dict[str, str]] = []

    async def become_admin() -> None:
        role = Role(place, "admin")
        await administration.grant_role(identity, anna.account_id, role, actor="test")
        inside.append((await demo.inside(anna, place))[1])

    class Late(AdvisoryLock):
        """Whose turn comes after that of somebody else."""

        @asynccontextmanager
        async def hold(self, name: str) -> AsyncIterator[None]:
            await become_admin()
            async with super().hold(name):
                yield

    role, late = Role(place, "staff"), replace(identity, locks=Late(identity.pool))
    await administration.grant_role(late, anna.account_id, role, actor="test")

    assert await status(demo, inside[0]) == 401


async def test_who_loses_one_role_is_still_in_where_the_others_count(demo: House) -> None:
    places = [Place(Realm.KIOSK, "demo"), Place(Realm.KIOSK, "other"), Place(Realm.SCALES, "demo")]
    anna = await demo.somebody(
        Role(places[0], "staff"), Role(places[1], "staff"), Role(places[2], "user")
    )
    inside = [(await demo.inside(anna, place))[1] for place in places]
    lists = [await demo.inside(anna, place) for place in places[:1]]
    await demo.catch_up()
    late = [(await demo.inside(anna, place))[1] for place in places]

    await withdraw(demo.deps.identity, anna, places[0])

    for one in (inside, late):
        assert [await status(demo, headers) for headers in one] == [401, 200, 200]
    assert [await status(demo, headers) for _, headers in lists] == [401]


async def test_all_others_are_ended_though_no_list_shows_them(demo: House) -> None:
    anna = await demo.somebody(Role(Place(Realm.KIOSK, "demo"), "staff"))
    place = Place(Realm.KIOSK, "demo")
    here, headers = await demo.inside(anna, place)
    phone, on_phone = await demo.inside(anna, place, device="phone")
    _, on_tablet = await demo.inside(anna, place, device="tablet")
    await sessions.revoke(demo.deps.identity, phone.session_id, reason="logout", actor="test")

    ended = await demo.client.delete(SESSIONS, headers=headers)

    # What was over already is not counted.
    assert ended.json() == {"revoked": 1}
    assert [await status(demo, one) for one in (headers, on_phone, on_tablet)] == [200, 401, 401]
    assert here.session_id not in (phone.session_id,)
