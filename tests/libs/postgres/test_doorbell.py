"""Rings between processes, over a real Postgres whose connections are cut."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.ports import free_port
from libs.postgres import doorbell as bells
from libs.postgres.doorbell import APPENDED, PROJECTED, Doorbell, open_doorbell
from libs.postgres.rls import application_role
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.chaos.proxy import Proxy

CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = $1 AND datname = current_database()"""


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bells, "RECONNECT_SECONDS", 0.05)


@pytest.fixture
async def service(admin: Any) -> AsyncIterator[str]:
    """A service of which only the role exists."""
    name = f"s{uuid4().hex[:12]}"
    await admin.execute(f"CREATE ROLE {application_role(name)} NOLOGIN")
    yield name
    await admin.execute(f"DROP ROLE {application_role(name)}")


@asynccontextmanager
async def process(database: str, service: str) -> AsyncIterator[Doorbell]:
    """The doorbell of a process of the service."""
    doorbell, stop = Doorbell(database, service), asyncio.Event()
    running = asyncio.create_task(doorbell.run(stop))
    await eventually(lambda: doorbell.is_listening)
    yield doorbell
    stop.set()
    await running


@pytest.fixture
async def ours(database: str, service: str) -> AsyncIterator[Doorbell]:
    async with process(database, service) as doorbell:
        yield doorbell


@pytest.fixture
async def theirs(database: str, service: str) -> AsyncIterator[Doorbell]:
    async with process(database, service) as doorbell:
        yield doorbell


@pytest.fixture
async def notifications(database: str, service: str) -> AsyncIterator[Counter[str]]:
    """The notifications on the service's channel, counted by payload."""
    counted: Counter[str] = Counter()
    connection: Any = await asyncpg.connect(database)
    await connection.add_listener(
        f"{service}_doorbell", lambda _c, _p, _n, payload: counted.update([payload])
    )
    yield counted
    await connection.close()


async def test_a_ring_reaches_the_subscribers_of_its_topic_in_every_process(
    ours: Doorbell, theirs: Doorbell
) -> None:
    here, there = ours.subscribe(APPENDED), theirs.subscribe(APPENDED, PROJECTED)
    elsewhere = theirs.subscribe(PROJECTED)

    ours.ring(APPENDED)

    assert await here.wait(0)
    assert await there.wait(PATIENCE_SECONDS)
    ours.ring(PROJECTED)
    assert await elsewhere.wait(PATIENCE_SECONDS)
    assert await there.wait(PATIENCE_SECONDS)
    assert [await one.wait(0) for one in (here, there, elsewhere)] == [False] * 3


async def test_rings_before_a_subscription_are_ignored_and_later_ones_count_once() -> None:
    alone = Doorbell("postgresql://nowhere", "none")
    alone.ring(APPENDED)
    with alone.subscribe(APPENDED) as subscription:
        assert not await subscription.wait(0)

        alone.ring(APPENDED)
        alone.ring(APPENDED)

        assert await subscription.wait(0)
        assert not await subscription.wait(0)
    alone.ring(APPENDED)
    assert not await subscription.wait(0)


async def test_many_rings_are_few_notifications_and_the_last_ring_is_sent(
    ours: Doorbell, theirs: Doorbell, notifications: Counter[str]
) -> None:
    there = theirs.subscribe("last")
    began = asyncio.get_running_loop().time()
    for _ in range(2000):
        ours.ring(APPENDED)
        await asyncio.sleep(0)
    ours.ring(APPENDED, "last")
    assert await there.wait(PATIENCE_SECONDS)
    took = asyncio.get_running_loop().time() - began

    await eventually(lambda: notifications["last"], 1)
    assert 1 <= notifications[APPENDED] <= 2 + took / bells.PAUSE_SECONDS


async def test_after_a_lost_connection_all_waiters_wake_and_queued_rings_arrive(
    admin: Any, service: str, ours: Doorbell, theirs: Doorbell, notifications: Counter[str]
) -> None:
    here, there = ours.subscribe(PROJECTED), theirs.subscribe(APPENDED)

    await admin.fetch(CUT, f"{service} doorbell")
    await eventually(lambda: not ours.is_listening)
    ours.ring("meanwhile")

    assert await here.wait(PATIENCE_SECONDS)
    assert await there.wait(PATIENCE_SECONDS)
    await eventually(lambda: notifications["meanwhile"])
    await eventually(lambda: ours.is_listening and theirs.is_listening)
    theirs.ring(PROJECTED)
    assert await here.wait(PATIENCE_SECONDS)


async def test_a_server_that_does_not_answer_is_noticed_without_any_ring(
    database: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(bells, "ANSWER_SECONDS", 1.0)
    port = urlsplit(database).port
    between = free_port()
    url = database.replace(f":{port}/", f":{between}/")
    assert url != database
    async with Proxy(between, port or 0) as proxy, open_doorbell(url, service) as doorbell:
        await eventually(lambda: doorbell.is_listening)

        proxy.deaf = True

        await eventually(lambda: not doorbell.is_listening)
        proxy.deaf = False
        await eventually(lambda: doorbell.is_listening)


async def test_a_ring_just_before_the_stop_is_sent(
    database: str, service: str, notifications: Counter[str]
) -> None:
    async with open_doorbell(database, service) as doorbell:
        await eventually(lambda: doorbell.is_listening)
        doorbell.ring("one")
        doorbell.ring("two")

    await eventually(lambda: notifications, {"one": 1, "two": 1})


async def test_all_users_in_a_process_share_one_connection(
    database: str, service: str, admin: Any
) -> None:
    connections = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = $1 AND datname = current_database()"
    )
    async with open_doorbell(database, service) as of_api:
        async with open_doorbell(database, service) as of_worker:
            assert of_worker is of_api
        await eventually(lambda: of_api.is_listening)
        assert await admin.fetchval(connections, f"{service} doorbell") == 1

    async with open_doorbell(database, service) as later:
        assert later is not of_api
