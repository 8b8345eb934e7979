"""A durable queue of jobs, which workers claim for the duration of a lease.

A job that is not finished is claimed again when its lease has run out, so each runs at least once:
its effects must be safe to repeat, for example with ids derived from its key. When jobs are due
follows from the clock of the caller, leases from that of the database.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeAlias

from libs.clock import utc_now
from libs.jobs.table import AnyJob, JobTable
from libs.postgres import query
from libs.postgres.pool import Pool
from libs.postgres.query import Source

LEASE_SECONDS: Final = 60.0

Key: TypeAlias = tuple[Any, ...]
"""The values of a job's primary key, the tenant first."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Of `total` units of work, such as bytes, so many are `done`; None if the total is unknown."""

    done: int
    total: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """The jobs of a queue: due ones that no worker has claimed, for how many seconds the first of
    them has been due, claimed ones, and parked ones."""

    queued: int
    oldest_seconds: float
    claimed: int
    parked: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """When a failed job runs again: after `first`, then twice as long, up to `longest`.

    After so many `attempts` it is parked.
    """

    attempts: int = 6
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=5)


BACKOFF: Final = Backoff()


class Queue(Generic[AnyJob]):
    """A queue in a table, or in one `partition` of it. A claim lasts `seconds` unless renewed.

    The pool must see all tenants. All methods raise Unavailable.
    """

    def __init__(
        self,
        pool: Pool,
        table: JobTable[AnyJob],
        partition: object = None,
        *,
        seconds: float = LEASE_SECONDS,
    ) -> None:
        self.pool, self.table, self.seconds = pool, table, seconds
        self._length = timedelta(seconds=seconds)
        self._unset = partition is None
        self._partition = () if self._unset else (partition,)

    def key_of(self, job: AnyJob) -> Key:
        """The key of a job."""
        return tuple(getattr(job, column) for column in self.table.key)

    async def put(
        self, job: AnyJob, not_before: datetime | None = None, *, source: "Source | None" = None
    ) -> None:
        """Add a job, which is not claimed before a moment. A job that is there stays as it is.

        In a transaction give its connection as `source`. Ring the doorbell after the commit.
        """
        values = [*astuple(job), not_before or utc_now()]
        if self.table.partition not in ("", *self.table.columns):
            values += self._partition or [None]
        await query.execute(source or self.pool, self.table.put, *values)

    async def claim(self, holder: str, now: datetime, *, limit: int) -> Sequence[AnyJob]:
        """Claim jobs that are due and free, or whose claim has run out.

        Tenants with fewer claimed jobs come first, and of a tenant those that were due first.
        """
        given = holder, self._length, limit, now, *self._partition
        return self._jobs(await query.fetch(self.pool, self.table.claim[self._unset], *given))

    async def claim_overdue(self, holder: str, now: datetime, *, limit: int) -> Sequence[AnyJob]:
        """Claim free jobs of all partitions that are past their `deadline_at`."""
        given = holder, self._length, limit, now
        return self._jobs(await query.fetch(self.pool, self.table.claim_overdue, *given))

    async def seconds_until_due(self, now: datetime) -> float | None:
        """Seconds until a job may be claimed, below 0 if one may be now; None without jobs."""
        due: float | None = await query.fetchval(
            self.pool, self.table.next_due[self._unset], now, *self._partition
        )
        return due

    async def renew(self, holder: str, keys: Collection[Key]) -> None:
        """Extend claims of `holder`."""
        if keys:
            columns = map(list, zip(*keys, strict=True))
            await query.execute(self.pool, self.table.renew, holder, self._length, *columns)

    async def save_progress(self, holder: str, progress: Mapping[Key, Progress]) -> None:
        """Store the progress of jobs that `holder` has claimed."""
        if progress:
            done = [one.done for one in progress.values()]
            total = [one.total for one in progress.values()]
            columns = map(list, zip(*progress, strict=True))
            await query.execute(self.pool, self.table.save_progress, holder, done, total, *columns)

    async def later(self, *key: object, seconds: float) -> None:
        """Release a claim and put the job off for so many seconds."""
        await query.execute(self.pool, self.table.later, timedelta(seconds=seconds), *key)

    async def release(self, holder: str, job: AnyJob) -> None:
        """Give a claim of `holder` back, so that another worker may run the job at once."""
        await query.execute(self.pool, self.table.release, holder, *self.key_of(job))

    async def done(self, *key: object) -> None:
        """Remove a job. Safe to repeat."""
        await query.execute(self.pool, self.table.done, *key)

    async def finish(self, job: AnyJob) -> None:
        """Record that a claimed job has run. Safe to repeat."""
        await self.done(*self.key_of(job))

    async def fail(
        self, holder: str, job: AnyJob, error: str, retry: Backoff, now: datetime
    ) -> bool | None:
        """Release a claim of `holder` after a failure; the job runs later, or is parked.

        Returns whether it is parked, None if `holder` no longer has the claim.
        """
        parked: bool | None = await query.fetchval(
            self.pool,
            self.table.fail,
            *(holder, error.replace("\0", "").encode(errors="replace").decode()),
            *(retry.attempts, now, retry.first, retry.longest, *self.key_of(job)),
        )
        return parked

    async def backlog(self, now: datetime) -> Backlog:
        """How many jobs there are, and how late they are."""
        row = await query.fetchrow(
            self.pool, self.table.measure[self._unset], now, *self._partition
        )
        assert row is not None  # noqa: S101 -- an aggregate always has one row
        return query.row_as(Backlog, row)

    def _jobs(self, rows: Sequence[query.Row]) -> Sequence[AnyJob]:
        return [query.row_as(self.table.row, row) for row in rows]


async def list_parked(source: Source, table: JobTable[Any]) -> Sequence[tuple[str, ...]]:
    """The keys of parked jobs as texts, and of each how often it failed and the last error."""
    return [tuple(map(str, row)) for row in await query.fetch(source, table.list_parked)]


async def retry(source: Source, table: JobTable[Any], key: Sequence[str]) -> bool:
    """Let the workers try a parked job again. Returns False if there is no such job."""
    return (await query.execute(source, table.retry, *key)).endswith(" 1")


async def drop(source: Source, table: JobTable[Any], key: Sequence[str]) -> bool:
    """Delete a parked job. Returns False if there is no such job."""
    return (await query.execute(source, table.drop, *key)).endswith(" 1")
