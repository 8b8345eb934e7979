"""What is read is held until it is changed: another one that comes in between waits, and then sees.

Each of these stops at the moment between the two, and lets the other one come as far as it can.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import asyncpg
import pytest

from libs.postgres import query
from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from libs.testing.polling import eventually
from services.gateway.device_grants import stores as device_grants
from services.gateway.device_grants.domain.grant import LIFETIME, GrantStatus, Verdict
from services.gateway.telegram.domain.one_time_code import Verified
from services.gateway.telegram.stores import codes
from services.gateway.telegram.stores.codes import CodeStore
from tests.services.gateway.code_context import CODE_KEY, SEAL, some_address, some_phone
from tests.services.gateway.device_grants.domain.test_grant import GRANT

WAITING = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'"""
Work = Callable[[], Coroutine[Any, Any, Any]]


class Between:
    """Starts `other` before the first statement of a module that changes something in a table."""

    def __init__(self, url: str, other: Work, *, table: str) -> None:
        self.url = url
        self.other = other
        self.table = table
        self.task: asyncio.Task[Any] | None = None

    async def execute(self, connection: Any, statement: str, *args: Any) -> str:
        """In the place of `query.execute`."""
        if self.task is None and self.table in statement:
            self.task = asyncio.create_task(self.other())
            await eventually(self._came_as_far_as_it_can)
        return await query.execute(connection, statement, *args)

    async def _came_as_far_as_it_can(self) -> bool:
        assert self.task is not None
        # A superuser sees what others wait for.
        admin = await asyncpg.connect(self.url)
        try:
            return self.task.done() or bool(await admin.fetchval(WAITING))
        finally:
            await admin.close()


async def raced(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, between: Between, first: Awaitable[Any]
) -> tuple[Any, Any]:
    """What the one answers in whose midst the other comes, and what that one answers."""
    hooked = SimpleNamespace(**{**vars(query), "execute": between.execute})
    with monkeypatch.context() as patch:
        patch.setattr(module, "query", hooked)
        done = await first
    assert between.task is not None
    return done, await between.task


async def test_concurrent_polls_of_an_approved_device_give_one_session(
    url: str, pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock()
    grant = replace(
        GRANT, device_digest="twice", user_code_digest="twice", expires_at=now + LIFETIME
    )
    assert await device_grants.add(pool, grant, now)
    await device_grants.set_status(pool, grant.device_digest, GrantStatus.APPROVED, "demo")

    async def poll() -> Verdict:
        return (await device_grants.poll(pool, grant.device_digest, grant.client_id, now))[0]

    between = Between(url, poll, table="device_grant")
    verdicts = await raced(monkeypatch, device_grants, between, poll())

    assert verdicts == (Verdict.IN, Verdict.WORTHLESS)


async def test_a_code_requested_while_another_is_used_up_stays_valid(
    url: str, pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = CodeStore(pool, seal=SEAL, key=CODE_KEY)
    phone, address = some_phone(), some_address()

    async def issue(code: str) -> Any:
        return await context.issue(phone, code, address=address, now=clock())

    async def attempt(code: str) -> Any:
        return await context.attempt(phone, code, address=address, now=clock())

    await issue("012345")
    between = Between(url, lambda: issue("543210"), table="one_time_code")

    assert await raced(monkeypatch, codes, between, attempt("012345")) == (Verified(), None)
    assert await attempt("543210") == Verified()
