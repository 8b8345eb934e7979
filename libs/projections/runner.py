"""The projection runner: keeps a service's read models level with its log.

Read models at one checkpoint are applied together, page by page, each page in one transaction. A
read model that fails whatever the event is detached: it follows at a checkpoint of its own, and
rejoins the others when it is level. A new read model starts detached.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import structlog

from libs.eventsourcing.tail import START, Cursor, current
from libs.postgres.pool import acquire
from libs.process.concurrency import reraise_cancellation, wait
from libs.projections import checkpoints, metrics
from libs.projections.apply import TRANSIENT, ModelFailed
from libs.projections.checkpoints import MAIN, Overtaken
from libs.projections.follower import (
    FIRST_BACKOFF,
    LAST_BACKOFF,
    Follower,
    FollowerContext,
    OnApplied,
    Polling,
)
from libs.projections.membership import NotLevel, reshard
from libs.projections.progress import Progress, combined
from libs.projections.projection import Projection
from libs.projections.shards import group_of

log = structlog.get_logger("projections")

SETUP_LOCK: Final = 0x7E1A5
"""The first key of the advisory lock for registering; the second is the hash of the schema."""
REVIEW_SECONDS: Final = 5.0
"""Seconds between two reviews of which read models are detached."""

_REGISTERED: Final = """
SELECT name, version, checkpoint, detached_because FROM projections WHERE state = 'live'
"""


class CheckpointMissing(Exception):
    """The main checkpoint is missing, so the read models have no position: it was deleted."""


class ProjectionRunner:
    """Follows the log in the schema of the pool's connections.

    The pool needs a connection for the main checkpoint and one for each read model that may be
    detached at a time, `shards` times as many. `service` is the first part of the categories, as in
    topics. Any number of workers may run: one applies a shard, the others stand by.

    A changed number of `shards` takes effect once all are level. Until then, and after another
    worker has changed it, the runner follows the shards that exist.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        models: Sequence[Projection[Any]],
        *,
        service: str,
        polling: Polling | None = None,
        on_applied: Sequence[OnApplied] = (),
        shards: int = 1,
    ) -> None:
        self._pool = pool
        self._shards = shards
        self._shard_count_applied = False
        self._context = FollowerContext(
            models={model.name: model for model in models},
            service=service,
            polling=polling or Polling(),
            on_applied=tuple(on_applied),
        )
        self._followers: dict[str, Follower] = {}
        self._trouble = Progress()
        self.version_mismatches: Mapping[str, str] = {}
        """Why workers of this version cannot apply a read model, by its name."""

    @property
    def models(self) -> Mapping[str, Projection[Any]]:
        """The read models by name."""
        return self._context.models

    def wake(self) -> None:
        """Read the log now instead of after the pause. Call it in the runner's event loop."""
        for follower in self._followers.values():
            follower.wake.set()

    def progress(self, model: str) -> Progress:
        """The progress at the read model's checkpoint: the main one, unless it is detached."""
        progress = self._context.progress
        for group in (checkpoints.detached(model), MAIN):
            if shards := [progress[name] for name in progress if group_of(name) == group]:
                return combined(shards)
        return self._trouble

    def is_detached(self, model: str) -> bool:
        """Whether the read model has a checkpoint of its own that this worker follows."""
        return checkpoints.detached(model) in self._followers

    async def run(self, stop: asyncio.Event) -> None:
        """Apply the log until `stop` is set. Survives failures of the database."""
        running: dict[str, asyncio.Task[None]] = {}
        pause = FIRST_BACKOFF
        try:
            while not stop.is_set():
                try:
                    names = await self._checkpoint_names()
                    self._trouble.clear()
                    pause = FIRST_BACKOFF
                except Exception as error:  # noqa: BLE001 -- the log is unharmed by any error
                    reraise_cancellation(error)
                    self._trouble.note(error)
                    log.warning("projections wait", error=self._trouble.trouble, retry_in=pause)
                    await wait(stop, pause)
                    pause = min(pause * 2, LAST_BACKOFF)
                    continue
                self._start(names, running, stop)
                await self._wait_for_change(running, stop)
        finally:
            if not stop.is_set():
                for task in running.values():
                    task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    def _start(
        self,
        names: set[str],
        running: dict[str, asyncio.Task[None]],
        stop: asyncio.Event,
    ) -> None:
        for name, task in list(running.items()):
            if task.done():
                task.result()
                del running[name], self._followers[name], self._context.progress[name]
        for name in names - running.keys():
            follower = Follower(self._pool, name, self._context)
            self._followers[name] = follower
            running[name] = asyncio.create_task(follower.run(stop), name=f"projections {name}")

    async def _wait_for_change(
        self, running: Mapping[str, asyncio.Task[None]], stop: asyncio.Event
    ) -> None:
        """Wait until a read model is detached or a follower has ended, `REVIEW_SECONDS` at most."""
        tasks = [
            *running.values(),
            *(asyncio.create_task(event.wait()) for event in (stop, self._context.detached)),
        ]
        try:
            await asyncio.wait(tasks, timeout=REVIEW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks[len(running) :]:
                task.cancel()
        self._context.detached.clear()

    async def _checkpoint_names(self) -> set[str]:
        """The checkpoints to follow, after registering the read models that are new."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_REGISTERED)
            if self._context.models.keys() - {row["name"] for row in rows} or not rows:
                await self._register(connection)
                rows = await connection.fetch(_REGISTERED)
            if not self._shard_count_applied:
                await self._apply_shard_count(connection)
            groups = [MAIN, *(row["checkpoint"] for row in rows)]
            names = await checkpoints.names_of(connection, groups)
            if MAIN not in names:
                raise CheckpointMissing(f"the checkpoint {MAIN} is missing")
        for row in rows:
            metrics.DETACHED.labels(row["name"]).set(row["checkpoint"] != MAIN)
        detached = [row for row in rows if row["checkpoint"] != MAIN]
        ours = {name: model.version for name, model in self._context.models.items()}
        self.version_mismatches = {
            row["name"]: row["detached_because"] or "filled by another version"
            for row in detached
            if ours.get(row["name"], row["version"]) != row["version"]
        }
        ready = {row["checkpoint"] for row in detached if ours.get(row["name"]) == row["version"]}
        return {name for name in names if group_of(name) in {MAIN} | ready}

    async def _apply_shard_count(self, connection: Any) -> None:
        """Change the number of shards to the configured one, if that is possible now."""
        context = self._context
        try:
            if len(await checkpoints.names_of(connection, [MAIN])) != self._shards:
                page, service = context.polling.page, context.service
                await reshard(connection, context.models, self._shards, page=page, service=service)
        except (NotLevel, ModelFailed, Overtaken, *TRANSIENT) as error:
            log.warning("the number of shards stays", wanted=self._shards, error=str(error))
        else:
            self._shard_count_applied = True

    async def _register(self, connection: Any) -> None:
        """Register new read models: the first ones at `MAIN`, later ones detached."""
        async with connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))", SETUP_LOCK
            )
            known = {row["name"] for row in await connection.fetch(_REGISTERED)}
            new = {m.name: m.version for m in self._context.models.values() if m.name not in known}
            if await checkpoints.read(connection, MAIN) is None:
                await checkpoints.create(connection, MAIN, [START] * self._shards, new)
                return
            moment = await current(connection)
            now = Cursor(published=moment, target=moment)
            for name, version in new.items():
                own = checkpoints.detached(name)
                # One without tables has side effects, which past events must not cause.
                start = START if self._context.models[name].tables else now
                await checkpoints.create(connection, own, [start], {name: version}, because="new")


__all__ = ["Polling", "ProjectionRunner"]
