"""Own facts that the inbox of a reaction did not take in wait in the log, and a command moves them
on as it does those of read models."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from contracts.scale_bridge import EVENTS, SCHEDULES, DeviceId, ScheduleRan
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import ANY, Metadata
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.messaging.reaction import Reaction, Schedule, feed_of
from libs.process.commands import command_line
from libs.projections import parking
from libs.projections.runner import ProjectionRunner
from libs.testing.polling import eventually
from libs.testing.pools import system_pool
from services.scale_bridge.bootstrap import SERVICE
from tests.libs.messaging.lab import running
from tests.services.scale_bridge.service import ENVIRONMENT
from tests.services.scale_bridge.usual import Usual

FEED: Final = "inbox-runs"
STREAMS: Final = [f"schedule-{UUID(int=n)}" for n in (1, 2)]
CODEC: Final[Codec[Any]] = Codec(EVENTS)
made: Final = Usual(datetime(2026, 11, 21, 12, tzinfo=UTC))


@dataclass
class Runs:
    """A reaction to runs of schedules; it cannot say when while it is `broken`."""

    broken: bool = True

    @property
    def reaction(self) -> Reaction[Any]:
        return Reaction(
            name="runs",
            topics=(SCHEDULES,),
            codec=CODEC,
            schedule_of=self._schedule_of,
            react=self._react,
        )

    def _schedule_of(self, event: Any) -> Schedule:
        if self.broken:
            raise ValueError("no schedule")
        return Schedule(str(event.device_id), event.ran_at)

    async def _react(self, _: Any) -> None: ...


async def park(database: str, runs: Runs) -> None:
    """Append an event to each stream, of which the inbox takes in none."""
    async with system_pool(database, "scale_bridge") as pool:
        store = EventStore(PostgresLog(pool), CODEC)
        for stream in STREAMS:
            ran = made(ScheduleRan, device_id=DeviceId(UUID(int=1)), operation_id=UUID(int=2))
            await store.append(stream, [ran], expected=ANY, metadata=Metadata(tenant="demo"))
        async with running(
            ProjectionRunner(pool, [feed_of(runs.reaction)], service="scale-bridge")
        ):

            async def parked() -> int:
                return len(await parking.list_parked(pool, FEED))

            await eventually(parked, len(STREAMS))


async def inbox_of(database: str) -> list[str]:
    """The streams of what is in the inbox."""
    async with system_pool(database, "scale_bridge") as pool:
        return [row["stream"] for row in await pool.fetch("SELECT stream FROM inbox")]


@pytest.fixture
def runs(database: str) -> Runs:
    """Two streams of it are parked."""
    made = Runs()
    asyncio.run(park(database, made))
    return made


@pytest.fixture
def call(runs: Runs, database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a `park` command of the service with this reaction."""
    for name, value in (ENVIRONMENT | {"DATABASE_URL": database, "COLUMNS": "200"}).items():
        monkeypatch.setenv(name, value)
    app = command_line(replace(SERVICE, reactions=(lambda _: runs.reaction,)))
    return lambda *words: CliRunner().invoke(app, ["park", *words])


def test_what_the_feed_of_a_reaction_set_aside_is_listed_retried_and_dropped(
    call: Callable[..., Result], runs: Runs, database: str
) -> None:
    listed = call("list").output
    assert all(word in listed for word in (FEED, *STREAMS, "no schedule"))
    failing = call("retry", FEED, "demo", STREAMS[0])
    assert (failing.exit_code, failing.stderr) == (
        1,
        "It still fails and stays parked: ValueError: no schedule\n",
    )

    runs.broken = False
    retried = call("retry", FEED, "demo", STREAMS[0])

    assert retried.exit_code == 0, retried.output
    assert asyncio.run(inbox_of(database)) == [STREAMS[0]]
    assert call("drop", FEED, "demo", STREAMS[1]).exit_code == 0
    assert call("drop", FEED, "demo", STREAMS[1]).exit_code == 1
    assert "nothing is parked" in call("list").output
    assert asyncio.run(inbox_of(database)) == [STREAMS[0]]


def test_a_feed_that_there_is_not_is_named(call: Callable[..., Result]) -> None:
    unknown = call("retry", "inbox-none", "demo", STREAMS[0])
    assert unknown.exit_code == 2
    assert all(word in unknown.stderr for word in ("inbox-none", FEED))
