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
from libs.postgres.locks import AdvisoryLock
from services.gateway.accounts.domain.realm import CHIEFS, SCOPES, Realm, Role, Workspace
from services.gateway.accounts.handlers.identity import Identity, Profile
from services.gateway.administration.handlers import administration
from services.gateway.administration.handlers.account import reset_password
from services.gateway.sessions.handlers import session as sessions
from services.gateway.sessions.handlers.session import LoggedIn, open_session
from tests.services.gateway.harness import NEW_PASSWORD, PLATFORM_WORKSPACE, Harness

SESSIONS: Final = "/api/v1/sessions"
ROLES: Final = [
    Role(PLATFORM_WORKSPACE if realm == Realm.PLATFORM else Workspace(realm, "demo"), name)
    for realm, name in sorted(SCOPES)
]
Deed = Callable[[Identity, Profile, Workspace], Awaitable[Any]]


async def deactivate(identity: Identity, who: Profile, _: Workspace) -> None:
    await administration.deactivate(identity, who.account_id, reason="test", actor="test")


async def suspend(identity: Identity, who: Profile, workspace: Workspace) -> None:
    await deactivate(identity, who, workspace)
    await administration.activate(identity, who.account_id, actor="test")


async def remove(identity: Identity, who: Profile, _: Workspace) -> None:
    await administration.remove(identity, who.account_id, actor="test")


async def withdraw(identity: Identity, who: Profile, workspace: Workspace) -> None:
    await administration.withdraw_role(identity, who.account_id, workspace, actor="test")


async def change_role(identity: Identity, who: Profile, workspace: Workspace) -> None:
    others = (
        role for role in ROLES if role.workspace == workspace and role.name != who.roles[workspace]
    )
    if (other := next(others, None)) is not None:
        await administration.grant_role(identity, who.account_id, other, actor="test")
    else:
        # The realm has one role only: to lose it is all that can happen to somebody there.
        await withdraw(identity, who, workspace)


async def set_password(identity: Identity, who: Profile, _: Workspace) -> None:
    await reset_password(identity, who.account_id, new=NEW_PASSWORD, actor="test")


DEEDS: Final[dict[str, Deed]] = {
    "deactivated": deactivate,
    "suspended": suspend,
    "removed": remove,
    "withdrawn": withdraw,
    "another role": change_role,
    "another password": set_password,
}


async def status(harness: Harness, headers: dict[str, str]) -> int:
    return (await harness.client.get(SESSIONS, headers=headers)).status_code


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_new_session_ends_with_any_change_of_the_role(demo: Harness, deed: str) -> None:
    for realm, chief in CHIEFS.items():
        await demo.create_account(
            next(r for r in ROLES if (r.workspace.realm, r.name) == (realm, chief))
        )
    people = [await demo.create_account(role) for role in ROLES]
    await demo.catch_up()
    sessions_before = [
        await demo.log_in(who, role.workspace) for who, role in zip(people, ROLES, strict=True)
    ]
    assert {await status(demo, headers) for _, headers in sessions_before} == {200}

    for who, role in zip(people, ROLES, strict=True):
        await DEEDS[deed](demo.deps.identity, who, role.workspace)

    statuses = [await status(demo, headers) for _, headers in sessions_before]
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
async def test_no_login_succeeds_past_a_concurrent_change_of_the_account(
    demo: Harness, deed: str, before: bool
) -> None:
    workspace = Workspace(Realm.CRM, "demo")
    anna = await demo.create_account(Role(workspace, "ENGINEER"))
    identity = demo.deps.identity
    opened: LoggedIn | None = None

    async def done() -> None:
        await DEEDS[deed](identity, anna, workspace)

    racing = replace(identity, store=Meanwhile(identity.store, done, before=before))
    with pytest.raises(Unauthenticated):
        opened = await open_session(racing, anna.account_id, workspace, device="phone")

    assert opened is None
    begun = [one.session_id for one in await demo.events(SessionOpened)]
    assert begun
    assert all(demo.deps.revocations.is_revoked(str(one)) for one in begun[-1:])


async def test_two_changes_of_a_role_at_once_leave_no_session_of_the_first(demo: Harness) -> None:
    workspace = Workspace(Realm.KIOSK, "demo")
    anna = await demo.create_account(Role(Workspace(Realm.SCALES, "demo"), "user"))
    identity = demo.deps.identity
    new_sessions: list[dict[str, str]] = []

    async def become_admin() -> None:
        role = Role(workspace, "admin")
        await administration.grant_role(identity, anna.account_id, role, actor="test")
        new_sessions.append((await demo.log_in(anna, workspace))[1])

    class Late(AdvisoryLock):
        """A lock whose holder waits for a concurrent change."""

        @asynccontextmanager
        async def hold(self, *names: str) -> AsyncIterator[None]:
            await become_admin()
            async with super().hold(*names):
                yield

    role, late = Role(workspace, "staff"), replace(identity, locks=Late(identity.pool))
    await administration.grant_role(late, anna.account_id, role, actor="test")

    assert await status(demo, new_sessions[0]) == 401


async def test_losing_one_role_keeps_the_sessions_of_others(demo: Harness) -> None:
    workspaces = [
        Workspace(Realm.KIOSK, "demo"),
        Workspace(Realm.KIOSK, "other"),
        Workspace(Realm.SCALES, "demo"),
    ]
    anna = await demo.create_account(
        Role(workspaces[0], "staff"), Role(workspaces[1], "staff"), Role(workspaces[2], "user")
    )
    sessions_before = [(await demo.log_in(anna, workspace))[1] for workspace in workspaces]
    lists = [await demo.log_in(anna, workspace) for workspace in workspaces[:1]]
    await demo.catch_up()
    late = [(await demo.log_in(anna, workspace))[1] for workspace in workspaces]

    await withdraw(demo.deps.identity, anna, workspaces[0])

    for one in (sessions_before, late):
        assert [await status(demo, headers) for headers in one] == [401, 200, 200]
    assert [await status(demo, headers) for _, headers in lists] == [401]


async def test_all_others_are_ended_though_no_list_shows_them(demo: Harness) -> None:
    anna = await demo.create_account(Role(Workspace(Realm.KIOSK, "demo"), "staff"))
    workspace = Workspace(Realm.KIOSK, "demo")
    here, headers = await demo.log_in(anna, workspace)
    phone, on_phone = await demo.log_in(anna, workspace, device="phone")
    _, on_tablet = await demo.log_in(anna, workspace, device="tablet")
    await sessions.revoke(demo.deps.identity, phone.session_id, reason="logout", actor="test")

    ended = await demo.client.delete(SESSIONS, headers=headers)

    # What was over already is not counted.
    assert ended.json() == {"revoked": 1}
    assert [await status(demo, one) for one in (headers, on_phone, on_tablet)] == [200, 401, 401]
    assert here.session_id not in (phone.session_id,)
