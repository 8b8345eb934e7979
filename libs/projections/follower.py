"""Following the log at one checkpoint: page after page, until stopped or level with the others.

A follower survives whatever happens to the database. What it cannot survive it says: transient
errors in `Progress`, a read model that fails as such by detaching it.
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
from libs.projections.shards import Share, group_of

log = structlog.get_logger("projections")

FOLLOW_LOCK: Final = 0x7E1A6
"""The advisory lock of the worker that follows at a checkpoint, beside the hash of its name."""

_LOCK: Final = "SELECT pg_try_advisory_lock($1, hashtext(current_schema() || ' ' || $2))"

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 5.0
TIME_OUTS: Final = 2
"""So many in a row say that the read model is too slow, not the moment."""
REJOIN_PAUSE: Final = 5.0
"""Seconds between two tries to rejoin the others, if the first took too long."""
SMALL: Final = 8
"""A page is small if it is less than this part of a full one."""
SILENT_SECONDS: Final = 10
"""For so long may a worker that holds a lock say nothing: a frozen one loses it then."""
_LIMIT_IDLENESS: Final = f"""SET idle_session_timeout = '{SILENT_SECONDS}s';
SET idle_in_transaction_session_timeout = '{SILENT_SECONDS}s'"""

OnApplied: TypeAlias = Callable[[Sequence[str], Sequence[RecordedEvent], int, int], None]
"""Given the read models, what was applied to them, and the nanoseconds of begin and commit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Polling:
    """How many events a page holds, and how long to wait when the log has nothing new.

    The wait grows from `shortest` to `longest` seconds; `wake` ends it. After a small page events
    gather for `gather` seconds: a page costs a transaction, however few they are. `standby` is how
    long to wait between two tries to follow while another worker does.
    """

    page: int = 2000
    shortest: float = 0.002
    longest: float = 0.05
    gather: float = 0.003
    standby: float = 1.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What all followers of a runner have in common: `changed` says that one was detached,
    `progress` how each goes on, by the name of its checkpoint."""

    models: Mapping[str, Projection[Any]]
    service: str
    polling: Polling
    on_applied: Sequence[OnApplied]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    progress: dict[str, Progress] = field(default_factory=dict)


class StandsBy(Exception):
    """This worker must not follow: the checkpoint has read models it does not have the code of."""


class Follower:
    """Follows at the checkpoint called `name`."""

    def __init__(self, pool: asyncpg.Pool, name: str, shared: Shared) -> None:
        self._pool = pool
        self._name = name
        self._group = group_of(name)
        self._shared = shared
        self._polling = shared.polling
        self._page = shared.polling.page
        self._time_outs: Counter[str] = Counter()
        self._rejoin_at = 0.0
        self.woken = asyncio.Event()
        self.progress = shared.progress[name] = Progress()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop` is set, or until the read model has rejoined the others."""
        pause = FIRST_BACKOFF
        while not stop.is_set():
            try:
                async with hold_raw_connection(self._pool) as connection:
                    if await self._follow_locked(connection, stop):
                        return
                continue
            except Overtaken:
                # The checkpoint was changed on purpose, by another worker or a command.
                await wait(stop, self._polling.shortest)
                continue
            except Exception as error:  # noqa: BLE001 -- whatever it was, the checkpoint stands
                reraise_cancellation(error)
                self._complain(error, pause)
            finally:
                self.progress.following = False
            await wait(stop, pause)
            pause = min(pause * 2, LAST_BACKOFF) if self.progress.trouble else FIRST_BACKOFF

    def _complain(self, error: Exception, pause: float) -> None:
        self.progress.note(error)
        trouble = self.progress.trouble
        log.warning("projections wait", checkpoint=self._name, error=trouble, retry_in=pause)

    async def _follow_locked(self, connection: Any, stop: asyncio.Event) -> bool:
        """Follow while this worker holds the lock; whether there is nothing more to follow."""
        while not await self._try_lock(connection):
            # Another worker follows: all is well as far as this one can tell.
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
            checkpoint = self._with_own_parked(checkpoint)
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
        """The read models at the checkpoint. Raises StandsBy, and Overtaken if one had to go."""
        for name, version in checkpoint.models.items():
            model = self._shared.models.get(name)
            if model is None:
                raise StandsBy(f"this worker does not have the read model {name}")
            if model.version < version:
                raise StandsBy(f"{name} was rebuilt by version {version}, this is {model.version}")
            if model.version > version:
                because = f"filled by version {version}; rebuild it for version {model.version}"
                await self._detach(connection, checkpoint, name, because)
                raise Overtaken(name)
        models = [self._shared.models[name] for name in sorted(checkpoint.models)]
        return [model for model in models if checkpoint.share.serves(model)]

    def _with_own_parked(self, checkpoint: Checkpoint) -> Checkpoint:
        """The same with the streams parked that are this shard's."""
        parked = {
            name: frozenset(
                key for key in streams if checkpoint.share.has(self._shared.models[name], key)
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
        """Apply page after page; whether the read model has rejoined or it is time to stop."""
        at, pause = checkpoint.cursor, self._polling.shortest
        self._note(checkpoint)
        while not stop.is_set():
            self.woken.clear()
            with guard(self._pool, connection):
                page = await read_page(connection, at, limit=self._page)
            # A difference without events is as good as applied.
            at = page.cursor
            if page.backlog is not None:
                self.progress.lag = page.backlog
            if page.events:
                with guard(self._pool, connection):
                    checkpoint = await self._apply(connection, checkpoint, models, page)
                pause = self._polling.shortest
                if len(page.events) < self._page // SMALL:
                    await wait(stop, self._polling.gather)
            if self._may_rejoin(at):
                with guard(self._pool, connection):
                    if await self._rejoin(connection, checkpoint, at):
                        return True
            if not page.events:
                self._level()
                await wait_for_either(stop, self.woken, pause)
                pause = min(pause * 2, self._polling.longest)
        return True

    async def _apply(
        self,
        connection: Any,
        checkpoint: Checkpoint,
        models: Sequence[Projection[Any]],
        page: Page,
    ) -> Checkpoint:
        began = time_ns()
        try:
            applied = await apply_page(
                connection, models, checkpoint, page, service=self._shared.service
            )
        except ModelTimedOut as error:
            await self._timed_out(connection, checkpoint, page, error)
            raise
        except ModelFailed as error:
            if self._group == MAIN:
                await self._detach(connection, checkpoint, error.model, str(error))
                raise Overtaken(error.model) from error
            raise
        self._time_outs.clear()
        self._page = min(self._page * 2, self._polling.page)
        self._applied(applied, models, page, began)
        return applied.checkpoint

    async def _timed_out(
        self, connection: Any, checkpoint: Checkpoint, page: Page, error: ModelTimedOut
    ) -> None:
        """The second time in a row a read model is detached; alone, it gets smaller pages, until
        the one event is known that takes too long, whose stream is parked.
        """
        self._time_outs[error.model] += 1
        if self._time_outs[error.model] < TIME_OUTS:
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
        await membership.detach(connection, checkpoint, self._shared.models[model], because)
        metrics.DETACHED.labels(model).set(1)
        log.warning("read model detached", projection=model, error=because)
        self._shared.changed.set()

    def _may_rejoin(self, at: Cursor) -> bool:
        # One of the shards does it for all.
        return self._name == self._group != MAIN and at.complete and monotonic() >= self._rejoin_at

    async def _rejoin(self, connection: Any, checkpoint: Checkpoint, at: Cursor) -> bool:
        """Put the read model back to the others, if it is level with them; whether it is now."""
        [model] = [self._shared.models[name] for name in checkpoint.models]
        began = time_ns()
        try:
            rest = await membership.rejoin(
                connection, model, checkpoint, at, page=self._page, service=self._shared.service
            )
        except (ModelTimedOut, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
            # The others must not wait for it: what takes so long is applied alone.
            self._rejoin_at = monotonic() + REJOIN_PAUSE
            log.info("read model rejoins later", checkpoint=self._name, error=str(error))
            return False
        if rest is None:
            if checkpoint.share.of > 1:
                self._rejoin_at = monotonic() + self._polling.standby
            return False
        for applied, page in rest:
            self._applied(applied, [model], page, began)
        metrics.DETACHED.labels(model.name).set(0)
        log.info("read model rejoined", projection=model.name)
        return True

    def _level(self) -> None:
        self.progress.lag = 0
        self._fine()

    def _fine(self) -> None:
        if self.progress.trouble:
            log.info("projections go on", checkpoint=self._name)
        self.progress.clear()

    def _applied(
        self, applied: Applied, models: Sequence[Projection[Any]], page: Page, began: int
    ) -> None:
        ended = time_ns()
        self._fine()
        self.progress.lag = max(self.progress.lag - len(page.events), 0)
        metrics.PAGE.observe(len(page.events))
        # What one transaction wrote becomes visible together: it is one observation.
        moments = {event.xid: event.recorded_at for event in page.events}
        ages = [max(ended / 1e9 - moment.timestamp(), 0.0) for moment in moments.values()]
        for model in models:
            metrics.PROJECTED.labels(model.name).inc(applied.given[model.name])
            freshness = metrics.FRESHNESS.labels(model.name)
            for age in ages:
                freshness.observe(age)
        if applied.failures:
            log.warning(
                "streams parked",
                streams={model: len(found) for model, found in applied.failures.items()},
            )
        self._note(applied.checkpoint)
        for callback in self._shared.on_applied:
            for names, events in _shares(applied.checkpoint.share, models, page):
                callback(names, events, began, ended)

    def _note(self, checkpoint: Checkpoint) -> None:
        self.progress.parked = {
            model: len(checkpoint.parked.get(model, ())) for model in checkpoint.models
        }
        shards = [
            progress
            for name, progress in self._shared.progress.items()
            if group_of(name) == self._group
        ]
        for model in checkpoint.models:
            metrics.LAG.labels(model).set(max(one.lag for one in shards))
            metrics.PARKED.labels(model).set(sum(one.parked.get(model, 0) for one in shards))


def _shares(
    share: Share, models: Sequence[Projection[Any]], page: Page
) -> Iterator[tuple[Sequence[str], Sequence[RecordedEvent]]]:
    """Which read models were given which events of a page, those together that had the same."""
    whole = [model.name for model in models if share.of == 1 or model.shard_key is None]
    if whole:
        yield whole, page.events
    for model in models:
        if model.name not in whole:
            keys = ((event, (event.metadata.tenant, event.stream)) for event in page.events)
            if events := [event for event, key in keys if share.has(model, key)]:
                yield [model.name], events
