"""A follower applies the log at one checkpoint, page after page, until stopped or rejoined.

A follower survives every failure of the database. It reports errors in `Progress`, and detaches a
read model that fails whatever the event.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic, time_ns
from typing import Any, Final, TypeAlias

import asyncpg
import structlog

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.tail import READ_IN_ORDER, Cursor, Page, read_page
from libs.postgres.pool import guard, hold_raw_connection
from libs.process.concurrency import reraise_cancellation, wait, wait_for_either
from libs.projections import checkpoints, membership, metrics
from libs.projections.apply import (
    Applied,
    ModelFailed,
    ModelTimedOut,
    apply_page,
    park_stream,
)
from libs.projections.checkpoints import MAIN, Checkpoint, Overtaken
from libs.projections.progress import Progress
from libs.projections.projection import Projection
from libs.projections.shards import Shard, group_of

log = structlog.get_logger("projections")

FOLLOW_LOCK: Final = 0x7E1A6
"""The first key of the advisory lock of a checkpoint; the second is the hash of its name."""

_LOCK: Final = "SELECT pg_try_advisory_lock($1, hashtext(current_schema() || ' ' || $2))"

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 5.0
MAX_TIMEOUTS: Final = 2
"""How many timeouts in a row mean that the read model itself is too slow."""
REJOIN_PAUSE: Final = 5.0
"""Seconds between two attempts to rejoin, after one that took too long."""
SMALL_PAGE: Final = 8
"""A page is small if it holds fewer events than this fraction of a full page."""
MAX_IDLE_SECONDS: Final = 10
"""Idle seconds after which a worker loses its lock, so that a frozen one is replaced."""
_LIMIT_IDLENESS: Final = f"""SET idle_session_timeout = '{MAX_IDLE_SECONDS}s';
SET idle_in_transaction_session_timeout = '{MAX_IDLE_SECONDS}s'"""

OnApplied: TypeAlias = Callable[[Sequence[str], Sequence[RecordedEvent], int, int], None]
"""Called with read models, the events applied to them, and the start and end in nanoseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Polling:
    """The number of events in a page, and the waits (seconds) when the log has nothing new.

    The wait grows from `shortest` to `longest`; `wake` ends it. After a small page the follower
    lets events gather for `gather` seconds, since every page costs a transaction. `standby` is the
    wait between two attempts to take the lock while another worker holds it.
    """

    page: int = 2000
    shortest: float = 0.002
    longest: float = 0.05
    gather: float = 0.003
    standby: float = 1.0


@dataclass(frozen=True, slots=True)
class FollowerContext:
    """What all followers of a runner share.

    `detached` is set when a follower detaches a read model. `progress` is by name of checkpoint.
    """

    models: Mapping[str, Projection[Any]]
    service: str
    polling: Polling
    on_applied: Sequence[OnApplied]
    detached: asyncio.Event = field(default_factory=asyncio.Event)
    progress: dict[str, Progress] = field(default_factory=dict)


class CannotFollow(Exception):
    """This worker does not have the right version of a read model at the checkpoint."""


class Follower:
    """Applies the log at the checkpoint `name`."""

    def __init__(self, pool: asyncpg.Pool, name: str, context: FollowerContext) -> None:
        self._pool = pool
        self._name = name
        self._group = group_of(name)
        self._context = context
        self._polling = context.polling
        self._page = context.polling.page
        self._timeouts: Counter[str] = Counter()
        self._rejoin_at = 0.0
        self.wake = asyncio.Event()
        self.progress = context.progress[name] = Progress()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop` is set or the read model has rejoined `MAIN`."""
        pause = FIRST_BACKOFF
        while not stop.is_set():
            try:
                async with hold_raw_connection(self._pool) as connection:
                    if await self._follow_locked(connection, stop):
                        return
                continue
            except Overtaken:
                # Another worker or a command changed the checkpoint: read it again.
                await wait(stop, self._polling.shortest)
                continue
            except Exception as error:  # noqa: BLE001 -- the checkpoint is unharmed by any error
                reraise_cancellation(error)
                self.progress.note(error)
                log.warning(
                    "projections wait",
                    checkpoint=self._name,
                    error=self.progress.trouble,
                    retry_in=pause,
                )
            finally:
                self.progress.following = False
            await wait(stop, pause)
            pause = min(pause * 2, LAST_BACKOFF) if self.progress.trouble else FIRST_BACKOFF

    async def _follow_locked(self, connection: Any, stop: asyncio.Event) -> bool:
        """Follow while this worker holds the lock; True if there is nothing more to follow."""
        while not await self._try_lock(connection):
            # Another worker follows, so there is no trouble here.
            self.progress.clear()
            if await wait(stop, self._polling.standby):
                return True
        while not stop.is_set():
            with guard(self._pool, connection):
                await connection.execute(f"{_LIMIT_IDLENESS};{READ_IN_ORDER}")
                checkpoint = await checkpoints.read(connection, self._name)
            if checkpoint is None or (self._group != MAIN and not checkpoint.models):
                return True
            models = await self._models_of(connection, checkpoint)
            checkpoint = self._with_parked_of_shard(checkpoint)
            self.progress.following = True
            try:
                return await self._follow(connection, checkpoint, models, stop)
            except Overtaken:
                continue
        return True

    async def _try_lock(self, connection: Any) -> bool:
        with guard(self._pool, connection):
            return bool(await connection.fetchval(_LOCK, FOLLOW_LOCK, self._name))

    async def _models_of(
        self, connection: Any, checkpoint: Checkpoint
    ) -> Sequence[Projection[Any]]:
        """The read models at the checkpoint.

        Raises CannotFollow, and Overtaken after detaching one that older code filled.
        """
        for name, version in checkpoint.models.items():
            model = self._context.models.get(name)
            if model is None:
                raise CannotFollow(f"this worker does not have the read model {name}")
            if model.version < version:
                raise CannotFollow(
                    f"{name} was rebuilt by version {version}, this is {model.version}"
                )
            if model.version > version:
                because = f"filled by version {version}; rebuild it for version {model.version}"
                await self._detach(connection, checkpoint, name, because)
                raise Overtaken(name)
        models = [self._context.models[name] for name in sorted(checkpoint.models)]
        return [model for model in models if checkpoint.shard.serves(model)]

    def _with_parked_of_shard(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with only those parked streams that its shard applies."""
        parked = {
            name: frozenset(
                key for key in streams if checkpoint.shard.applies(self._context.models[name], key)
            )
            for name, streams in checkpoint.parked.items()
        }
        return replace(checkpoint, parked=parked)

    async def _follow(
        self,
        connection: Any,
        checkpoint: Checkpoint,
        models: Sequence[Projection[Any]],
        stop: asyncio.Event,
    ) -> bool:
        """Apply page after page; True when the read model has rejoined or `stop` is set."""
        at, pause = checkpoint.cursor, self._polling.shortest
        self._record_metrics(checkpoint)
        while not stop.is_set():
            self.wake.clear()
            with guard(self._pool, connection):
                page = await read_page(connection, at, limit=self._page)
            # Without events there is nothing to apply, and the checkpoint need not be moved.
            at = page.cursor
            if page.backlog is not None:
                self.progress.lag = page.backlog
            if page.events:
                with guard(self._pool, connection):
                    checkpoint = await self._apply(connection, checkpoint, models, page)
                pause = self._polling.shortest
                if len(page.events) < self._page // SMALL_PAGE:
                    await wait(stop, self._polling.gather)
            if self._may_rejoin(at):
                with guard(self._pool, connection):
                    if await self._rejoin(connection, checkpoint, at):
                        return True
            if not page.events:
                self.progress.lag = 0
                self._clear_trouble()
                await wait_for_either(stop, self.wake, pause)
                pause = min(pause * 2, self._polling.longest)
        return True

    async def _apply(
        self,
        connection: Any,
        checkpoint: Checkpoint,
        models: Sequence[Projection[Any]],
        page: Page,
    ) -> Checkpoint:
        started_at = time_ns()
        try:
            applied = await apply_page(
                connection, models, checkpoint, page, service=self._context.service
            )
        except ModelTimedOut as error:
            await self._on_timeout(connection, checkpoint, page, error)
            raise
        except ModelFailed as error:
            if self._group == MAIN:
                await self._detach(connection, checkpoint, error.model, str(error))
                raise Overtaken(error.model) from error
            raise
        self._timeouts.clear()
        self._page = min(self._page * 2, self._polling.page)
        self._record_applied(applied, models, page, started_at)
        return applied.checkpoint

    async def _on_timeout(
        self, connection: Any, checkpoint: Checkpoint, page: Page, error: ModelTimedOut
    ) -> None:
        """Detach a read model that timed out twice in a row.

        One that is detached already gets smaller pages, until the event that takes too long is
        known; its stream is parked. Raises Overtaken after changing the checkpoint.
        """
        self._timeouts[error.model] += 1
        if self._timeouts[error.model] < MAX_TIMEOUTS:
            return
        if self._group == MAIN:
            await self._detach(connection, checkpoint, error.model, str(error))
            raise Overtaken(error.model) from error
        if self._page > 1:
            self._page = max(self._page // 8, 1)
        else:
            await park_stream(connection, checkpoint, error.model, page, str(error))
            raise Overtaken(error.model) from error

    async def _detach(
        self, connection: Any, checkpoint: Checkpoint, model: str, because: str
    ) -> None:
        await membership.detach(connection, checkpoint, self._context.models[model], because)
        metrics.DETACHED.labels(model).set(1)
        log.warning("read model detached", projection=model, error=because)
        self._context.detached.set()

    def _may_rejoin(self, at: Cursor) -> bool:
        # The first shard does it for all of them.
        return self._name == self._group != MAIN and at.complete and monotonic() >= self._rejoin_at

    async def _rejoin(self, connection: Any, checkpoint: Checkpoint, at: Cursor) -> bool:
        """Move the read model back to `MAIN` if it is level; whether that succeeded."""
        [model] = [self._context.models[name] for name in checkpoint.models]
        started_at = time_ns()
        try:
            remainder = await membership.rejoin(
                connection, model, checkpoint, at, page=self._page, service=self._context.service
            )
        except (ModelTimedOut, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
            # The other read models must not wait for it: it goes on alone and tries again.
            self._rejoin_at = monotonic() + REJOIN_PAUSE
            log.info("read model rejoins later", checkpoint=self._name, error=str(error))
            return False
        if remainder is None:
            if checkpoint.shard.count > 1:
                self._rejoin_at = monotonic() + self._polling.standby
            return False
        for applied, page in remainder:
            self._record_applied(applied, [model], page, started_at)
        metrics.DETACHED.labels(model.name).set(0)
        log.info("read model rejoined", projection=model.name)
        return True

    def _clear_trouble(self) -> None:
        if self.progress.trouble:
            log.info("projections go on", checkpoint=self._name)
        self.progress.clear()

    def _record_applied(
        self, applied: Applied, models: Sequence[Projection[Any]], page: Page, started_at: int
    ) -> None:
        ended_at = time_ns()
        self._clear_trouble()
        self.progress.lag = max(self.progress.lag - len(page.events), 0)
        metrics.PAGE.observe(len(page.events))
        # One observation a transaction, whose events become visible together.
        moments = {event.xid: event.recorded_at for event in page.events}
        ages = [max(ended_at / 1e9 - moment.timestamp(), 0.0) for moment in moments.values()]
        for model in models:
            metrics.PROJECTED.labels(model.name).inc(applied.given[model.name])
            freshness = metrics.FRESHNESS.labels(model.name)
            for age in ages:
                freshness.observe(age)
        if applied.failures:
            log.warning(
                "streams parked",
                streams={model: len(failed) for model, failed in applied.failures.items()},
            )
        self._record_metrics(applied.checkpoint)
        for callback in self._context.on_applied:
            for names, events in _applied_events(applied.checkpoint.shard, models, page):
                callback(names, events, started_at, ended_at)

    def _record_metrics(self, checkpoint: Checkpoint) -> None:
        self.progress.parked = {
            model: len(checkpoint.parked.get(model, ())) for model in checkpoint.models
        }
        shards = [
            progress
            for name, progress in self._context.progress.items()
            if group_of(name) == self._group
        ]
        for model in checkpoint.models:
            metrics.LAG.labels(model).set(max(one.lag for one in shards))
            metrics.PARKED.labels(model).set(sum(one.parked.get(model, 0) for one in shards))


def _applied_events(
    shard: Shard, models: Sequence[Projection[Any]], page: Page
) -> Iterator[tuple[Sequence[str], Sequence[RecordedEvent]]]:
    """The events of a page that were given to read models, grouped by read models with the same."""
    whole = [model.name for model in models if shard.count == 1 or model.shard_key is None]
    if whole:
        yield whole, page.events
    for model in models:
        if model.name not in whole:
            keys = ((event, (event.metadata.tenant, event.stream)) for event in page.events)
            if events := [event for event, key in keys if shard.applies(model, key)]:
                yield [model.name], events
