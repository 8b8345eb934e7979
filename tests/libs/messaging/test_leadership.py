"""Leadership: a frozen leader is replaced, does no harm when it resumes, and reports its state."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local.ports import free_port
from libs.messaging import leadership, worker
from libs.messaging.leadership import Leadership
from libs.messaging.publisher import LogIdentity, Publisher
from libs.messaging.relay import Polling, Relay
from libs.messaging.relay_batch import Deposed
from libs.messaging.worker import check_relay
from libs.postgres.pool import open_pool
from libs.testing.polling import eventually
from tests.chaos.child import Member, Role
from tests.chaos.proxy import Proxy
from tests.libs.messaging.lab import Lab, running

IDLE = 0.5
"""Seconds a leader of these tests may ask nothing."""

Start = Callable[..., Member]


@pytest.fixture
async def start(lab: Lab, database: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts relays in separate processes."""
    members: list[Member] = []

    def start(failpoint: str = "") -> Member:
        role = Role(
            parts=("relay",),
            database=database,
            bootstrap=lab.bootstrap,
            prefix=lab.prefix,
            log=str(tmp_path / "log"),
            failpoint=failpoint,
            leader_idle_seconds=IDLE,
        )
        members.append(Member(role))
        return members[-1]

    yield start
    for member in members:
        member.kill()


@pytest.mark.parametrize("point", ["relay-saving", "relay-saved", "partition-sent"])
async def test_a_frozen_leader_is_replaced_and_does_no_harm_when_it_resumes(
    lab: Lab, start: Start, point: str
) -> None:
    await lab.append_numbers(range(50))
    frozen = start(f"{point}=stop@2")
    await frozen.stopped()

    start()
    await eventually(lab.published, 50)
    epoch = await lab.pool.fetchval("SELECT epoch FROM relay")
    frozen.resume()
    await lab.append_numbers(range(50, 90))
    await eventually(lab.published, 90)

    assert await lab.pool.fetchval("SELECT epoch FROM relay") == epoch
    await lab.sent(90)


async def test_an_idle_leader_is_not_replaced(lab: Lab, start: Start) -> None:
    start()
    await lab.append_numbers(range(5))
    await eventually(lab.published, 5)
    epoch = await lab.pool.fetchval("SELECT epoch FROM relay")

    await asyncio.sleep(3 * IDLE)

    await lab.append_numbers(range(5, 10))
    await eventually(lab.published, 10)
    assert await lab.pool.fetchval("SELECT epoch FROM relay") == epoch


async def test_an_idle_leader_notices_that_it_was_deposed(lab: Lab) -> None:
    relay = lab.relay()
    async with running(relay):
        await eventually(lambda: relay.progress.leading)
        epoch = await lab.pool.fetchval("UPDATE relay SET epoch = epoch + 1 RETURNING epoch")
        await eventually(lambda: _later_epoch(lab, epoch))


async def _later_epoch(lab: Lab, epoch: int) -> bool:
    return bool(await lab.pool.fetchval("SELECT epoch > $1 FROM relay", epoch))


async def test_a_leader_notices_a_silent_database_and_resumes_when_it_answers(
    lab: Lab, database: str
) -> None:
    head, _, tail = database.rpartition("@")
    server, _, name = tail.partition("/")
    async with Proxy(free_port(), int(server.rpartition(":")[2])) as proxy:
        # As a worker opens it: a statement may take longer than this test waits.
        pool = await open_pool(
            f"{head}@{proxy.address}/{name}",
            role=None,
            schema="public",
            size=1,
            application_name="relay",
            statement_timeout=timedelta(minutes=2),
        )
        relay = Relay(pool, lab.connect, polling=Polling(longest=0.05, standby=0.05, idle=1.0))
        async with running(relay):
            await lab.append_numbers(range(5))
            await eventually(lab.published, 5)
            proxy.swallows = True
            await eventually(lambda: "Unavailable" in (relay.progress.last_error or ""))
            await lab.append_numbers(range(5, 10))
            proxy.swallows = False
            await eventually(lab.published, 10)
        pool.terminate()

    await lab.sent(10)


@pytest.mark.parametrize("relays", [1, 2])
async def test_relays_that_send_nothing_are_not_ready_and_give_the_reason(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, relays: int
) -> None:
    monkeypatch.setattr(worker, "STUCK_SECONDS", 0.6)
    await lab.append_numbers(range(3))
    ours = [lab.relay(_unreachable) for _ in range(relays)]

    async def reasons() -> bool:
        checks = [await check_relay(relay) for relay in ours]
        # What the service answers does not wait for it.
        return all(
            not one.ok and not one.critical and "no broker" in (one.detail or "") for one in checks
        )

    async with running(*ours):
        # Also while both relays stand by.
        await eventually(reasons)
        for relay in ours:
            relay._connect = lab.connect
        await eventually(lambda: _all_ready(ours))
        await eventually(lab.published, 3)


async def _all_ready(relays: list[Relay]) -> bool:
    return all([(await check_relay(relay)).ok for relay in relays])


async def _unreachable() -> Publisher:
    raise ConnectionError("no broker")


async def test_a_publisher_that_connects_while_its_epoch_ends_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed, connected = asyncio.Event(), asyncio.Event()

    class Connected:
        async def close(self) -> None:
            closed.set()

    class Connection:
        async def fetchrow(self, *_: object, **__: object) -> None:
            """There is another leader, and meanwhile Kafka answers."""
            connected.set()
            await asyncio.sleep(0)

    async def connect() -> Any:
        await connected.wait()
        return Connected()

    monkeypatch.setattr(leadership, "HEARTBEAT_SECONDS", 0.01)
    epoch = Leadership(Connection(), 1, LogIdentity("log", "incarnation"))

    with pytest.raises(Deposed):
        await Relay(None, connect)._connect_publisher(epoch)  # type: ignore[arg-type]

    assert closed.is_set()
