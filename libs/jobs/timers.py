"""Durable timers: a table of what is due when, and the worker that fires it.

A timer belongs to a tenant and has a key, for example the id of an order whose payment has a
deadline. It fires once at its time; after a downtime it fires late, with the time it was due. A
firing may be repeated if a process is killed in between: `Timer.id` follows from key and time, so
what is appended with a command id derived from it happens once.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID, uuid5

import msgspec

from libs.clock import Clock
from libs.jobs.queue import BACKOFF, LEASE_SECONDS, Backoff, Queue
from libs.jobs.table import JobTable, create_job_table
from libs.jobs.worker import JOBS, Worker
from libs.postgres import query
from libs.postgres.doorbell import PROJECTED, Doorbell
from libs.postgres.pool import Pool
from libs.postgres.query import Source
from libs.postgres.rls import Migration

Payload = TypeVar("Payload")

RETENTION: Final = timedelta(days=90)
"""How long after their time fired and cancelled timers are remembered that have no version."""
FORGET_SECONDS: Final = 3600.0

_IDS: Final = UUID("3f0a4a5e-6f0b-4f0e-9a52-2f6d6f1f6c51")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timer:
    """A timer that is due since `due_at`. `payload` is JSON."""

    tenant: str
    kind: str
    key: str
    due_at: datetime
    payload: str

    @property
    def id(self) -> UUID:
        """The id of this firing, the same whenever it is repeated."""
        return uuid5(_IDS, f"{self.tenant} {self.kind} {self.key} {self.due_at.timestamp()}")

    def payload_as(self, kind: type[Payload]) -> Payload:
        """The payload. Raises msgspec.ValidationError."""
        return msgspec.json.decode(self.payload, type=kind)


TABLE: Final = JobTable(
    "timer", Timer, key={"tenant": "text", "kind": "text", "key": "text"}, partition="kind"
)

# The same timer again, while it waits, after it fired, or parked, changes nothing; another payload
# is taken as long as it has not fired. A version older than the known one is a replay.
_PUT: Final = f"""
INSERT INTO timer AS known (tenant, kind, key, due_at, payload, version, not_before)
VALUES ($1, $2, $3, $4, $5, $6, $4)
ON CONFLICT ({", ".join(TABLE.key)}) DO UPDATE
SET due_at = excluded.due_at, payload = excluded.payload, version = excluded.version,
    not_before = excluded.not_before, fired_at = NULL, attempts = 0, error = NULL,
    claimed_by = NULL, claimed_until = NULL
WHERE coalesce(excluded.version >= known.version, true) AND (
    known.due_at <> excluded.due_at OR known.fired_at IS NULL
    AND (known.payload <> excluded.payload OR known.not_before IS NULL AND known.error IS NULL)
)
"""  # noqa: S608 -- names of columns
_CANCEL: Final = f"""
UPDATE timer SET not_before = NULL, attempts = 0, error = NULL, claimed_by = NULL,
    claimed_until = NULL, version = coalesce($4, version)
WHERE {TABLE.match(1)} AND coalesce($4 >= version, true)
"""  # noqa: S608 -- names of columns
# A timer that was moved or cancelled while it fired stays as it is.
_FIRED: Final = f"""
UPDATE timer SET not_before = NULL, fired_at = now(), claimed_by = NULL, claimed_until = NULL,
    error = NULL
WHERE {TABLE.match(1)} AND due_at = $4 AND not_before IS NOT NULL
"""  # noqa: S608 -- names of columns
_FORGET: Final = """
DELETE FROM timer
WHERE due_at < now() - $1::interval AND not_before IS NULL AND error IS NULL AND version IS NULL
"""

_encode = msgspec.json.Encoder().encode


def create_timer_table(op: Migration) -> None:
    """Create the table of timers, with row-level security by tenant."""
    create_job_table(
        op,
        TABLE,
        {
            "due_at": "timestamptz NOT NULL",
            "payload": "jsonb NOT NULL",
            "version": "bigint",
            "fired_at": "timestamptz",
        },
        [
            """CREATE INDEX timer_over ON timer (due_at)
                WHERE not_before IS NULL AND error IS NULL AND version IS NULL"""
        ],
    )


class TimerContext(Protocol):
    """What the worker of timers needs; `libs.process.context.Context` has it."""

    @property
    def system(self) -> Pool: ...
    @property
    def doorbell(self) -> Doorbell: ...
    @property
    def clock(self) -> Clock: ...


@dataclass(frozen=True, slots=True)
class Timers:
    """The timers of one kind. `kind` names what they are for, for example "reminder".

    `put` and `cancel` take the caller's connection, so that they are part of its transaction. The
    worker is woken when a projection commits; after any other commit ring the topic `JOBS`.

    A projection gives a `version` that grows with the events of a key, such as the version of the
    stream: a replay then changes nothing. Commands and reactions are not replayed and need none.
    """

    kind: str

    async def put(
        self,
        source: Source,
        tenant: str,
        key: str,
        at: datetime,
        payload: object = None,
        *,
        version: int | None = None,
    ) -> None:
        """Set the timer of a key to a time, in place of the one before. Safe to repeat.

        It does not fire again for a time at which it has fired. `payload` is anything that JSON
        can hold, without personal data.
        """
        given = _encode(payload).decode()
        await query.execute(source, _PUT, tenant, self.kind, key, at, given, version)

    async def cancel(
        self, source: Source, tenant: str, key: str, *, version: int | None = None
    ) -> None:
        """Stop the timer of a key. One that is firing at this moment goes on. Safe to repeat."""
        await query.execute(source, _CANCEL, tenant, self.kind, key, version)

    def queue(self, pool: Pool, *, seconds: float = LEASE_SECONDS) -> "TimerQueue":
        """The timers as a queue. The pool must see all tenants."""
        return TimerQueue(pool, TABLE, self.kind, seconds=seconds)

    def worker(
        self,
        context: TimerContext,
        fire: Callable[[Timer], Awaitable[object]],
        *,
        retry: Backoff = BACKOFF,
        **options: Any,
    ) -> Worker[Timer]:
        """A worker that calls `fire` with each timer that is due; `options` are of `Worker`."""
        queue = self.queue(context.system)
        return Worker(
            name=f"timer {self.kind}",
            queue=queue,
            run_job=fire,
            doorbell=context.doorbell,
            topics=(JOBS, PROJECTED),
            clock=context.clock,
            retry=retry,
            steps=((queue.forget, FORGET_SECONDS),),
            **options,
        )


class TimerQueue(Queue[Timer]):
    """A queue whose jobs are remembered after they have run."""

    async def finish(self, job: Timer) -> None:
        """Record that a timer has fired at its time."""
        await query.execute(self.pool, _FIRED, *self.key_of(job), job.due_at)

    async def forget(self) -> None:
        """Delete timers of all kinds that are over, and that no replay sets again."""
        await query.execute(self.pool, _FORGET, RETENTION)
