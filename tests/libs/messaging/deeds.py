"""A reaction whose deeds can be counted, on the laboratory's servers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from contracts.envelope import Envelope
from libs.eventsourcing.log import NO_STREAM
from libs.messaging.inbox import create_inbox
from libs.messaging.projection import Projection
from libs.messaging.reaction import Reaction, Reactor, Turn, intake
from libs.messaging.subscription import Source
from libs.messaging.topics import TopicSpec, ensure_topics
from tests.libs.messaging.lab import CAUSE, CODEC, Lab, Numbered, order

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Deeds:
    """What a reaction did: facts in a stream of its own, by command ids that follow from events."""

    lab: Lab
    due: Callable[[int], datetime] = lambda _: NOON
    fails: dict[int, list[Exception]] = field(default_factory=dict)
    tried: list[int] = field(default_factory=list)
    together: int = 0
    most_together: int = 0

    def turn_of(self, event: Any) -> Turn | None:
        return Turn("all", self.due(event.n)) if isinstance(event, Numbered) else None

    async def react(self, envelope: Envelope[Any]) -> None:
        self.together += 1
        self.most_together = max(self.together, self.most_together)
        try:
            await asyncio.sleep(0)
            self.tried.append(envelope.event.n)
            if errors := self.fails.get(envelope.event.n):
                raise errors.pop(0)
            command = uuid5(envelope.event_id, "deed")
            await self.lab.store.append(
                f"deed-{command}",
                [Numbered(envelope.event.n)],
                expected=NO_STREAM,
                cause=CAUSE,
                command_id=command,
            )
        finally:
            self.together -= 1

    async def done(self) -> list[int]:
        rows = await self.lab.pool.fetch(
            "SELECT (data->>'n')::int AS n FROM events WHERE stream LIKE 'deed-%' ORDER BY position"
        )
        return [row["n"] for row in rows]


class _Op:
    def __init__(self) -> None:
        self.said: list[str] = []

    def execute(self, sqltext: str) -> None:
        if not sqltext.startswith("GRANT"):
            self.said.append(sqltext)


def reaction(deeds: Deeds, **different: Any) -> Reaction[Any]:
    told = Reaction(
        name="deeds",
        topics=("lab.order",),
        codec=CODEC,
        turn_of=deeds.turn_of,
        react=deeds.react,
    )
    return replace(told, **different)


def reactor(deeds: Deeds, *, clock: Clock | None = None, **different: Any) -> Reactor[Any]:
    lab = deeds.lab
    source = Source(bootstrap=lab.bootstrap, prefix=lab.prefix, group=lab.group)
    return Reactor(lab.pool, reaction(deeds, **different), source, clock=clock or Clock())


async def arrive(deeds: Deeds, *numbers: int, **different: Any) -> None:
    """Put facts into the inbox as the reader does."""
    projection: Projection[Any] = intake(reaction(deeds, **different))
    envelopes = [
        Envelope(
            event_id=UUID(int=number),
            tenant="demo",
            stream=order(number),
            version=1,
            occurred_at=NOON + timedelta(seconds=number),
            recorded_at=NOON,
            correlation_id=None,
            causation_id="why",
            actor="anna",
            traceparent=None,
            event=Numbered(number),
        )
        for number in numbers
    ]
    async with deeds.lab.pool.acquire() as connection, connection.transaction():
        await projection.project(connection, envelopes)


async def work_off(worker: Reactor[Any]) -> None:
    while await worker.react():
        pass


async def open_deeds(lab: Lab) -> Deeds:
    """An inbox in the laboratory's database, and a topic for what is done."""
    specs = [TopicSpec(category="lab.deed", partitions=1, retention_days=1)]
    await ensure_topics(lab.bootstrap, lab.prefix, specs)
    op = _Op()
    create_inbox(op, application_role="unused")
    for statement in op.said:
        await lab.pool.execute(statement)
    return Deeds(lab)
