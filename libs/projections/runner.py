"""The projection runner: keeps a service's read models level with its log.

All read models at one checkpoint are applied together, page by page, in one transaction each. A
read model that fails as such is detached: it follows at a checkpoint of its own, and rejoins the
others when it is level with them. A new one begins that way.
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
    OnApplied,
    Polling,
    Shared,
    StandsBy,
)
from libs.projections.progress import Progress, together
from libs.projections.projection import Projection
from libs.projections.resharding import NotLevel, reshard
from libs.projections.shards import group_of

log = structlog.get_logger("projections")

SETUP_LOCK: Final = 0x7E1A5
"""The advisory lock of the worker that registers read models, beside the schema's hash."""
REVIEW_SECONDS: Final = 5.0
"""How often the runner asks which read models are detached, if nothing says that it changed."""

_REGISTERED: Final = """
SELECT name, version, checkpoint, detached_because FROM projections WHERE state = 'live'
"""


class CheckpointMissing(Exception):
    """The database does not say where in the log the read models are: it was tampered with."""


class ProjectionRunner:
    """Follows the log of the schema the pool's connections look into.

    The pool needs a connection for the main checkpoint and one for each read model that may be
    detached at a time, `shards` times as many. `service` is the first part of the categories, as
    topics spell it. Any number of workers may run: of each shard one applies, the others stand by.

    Another number of `shards` than there was is taken up once all are level; until then, and after
    another worker has changed it, the runner follows as many as there are.
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
        self._shards_settled = False
        self._shared = Shared(
            models={model.name: model for model in models},
            service=service,
            polling=polling or Polling(),
            on_applied=tuple(on_applied),
        )
        self._followers: dict[str, Follower] = {}
        self._trouble = Progress()
        self.left_behind: Mapping[str, str] = {}
        """Read models that no worker of this version may go on with, and why."""

    @property
    def models(self) -> Mapping[str, Projection[Any]]:
        """The read models by name."""
        return self._shared.models

    def wake(self) -> None:
        """Read the log now instead of at the end of the pause. Call it in the runner's loop."""
        for follower in self._followers.values():
            follower.woken.set()

    def progress(self, model: str) -> Progress:
        """How the read model's checkpoint goes on; as of the main one, unless it is detached."""
        progress = self._shared.progress
        for group in (checkpoints.detached(model), MAIN):
            if shards := [progress[name] for name in progress if group_of(name) == group]:
                return together(shards)
        return self._trouble

    def is_detached(self, model: str) -> bool:
        """Whether this worker feeds the read model at a checkpoint of its own."""
        return checkpoints.detached(model) in self._followers

    async def run(self, stop: asyncio.Event) -> None:
        """Project until `stop` is set; survives the database going away."""
        running: dict[str, asyncio.Task[None]] = {}
        pause = FIRST_BACKOFF
        try:
            while not stop.is_set():
                try:
                    wanted = await self._wanted()
                    self._trouble.clear()
                    pause = FIRST_BACKOFF
                except Exception as error:  # noqa: BLE001 -- whatever it was, the log is there
                    reraise_cancellation(error)
                    self._trouble.note(error)
                    log.warning("projections wait", error=self._trouble.trouble, retry_in=pause)
                    await wait(stop, pause)
                    pause = min(pause * 2, LAST_BACKOFF)
                    continue
                self._start(wanted, running, stop)
                await self._changed(running, stop)
        finally:
            if not stop.is_set():
                for task in running.values():
                    task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    def _start(
        self,
        wanted: set[str],
        running: dict[str, asyncio.Task[None]],
        stop: asyncio.Event,
    ) -> None:
        for name, task in list(running.items()):
            if task.done():
                task.result()
                del running[name], self._followers[name], self._shared.progress[name]
        for name in wanted - running.keys():
            follower = Follower(self._pool, name, self._shared)
            self._followers[name] = follower
            running[name] = asyncio.create_task(follower.run(stop), name=f"projections {name}")

    async def _changed(
        self, running: Mapping[str, asyncio.Task[None]], stop: asyncio.Event
    ) -> None:
        """Wait until a read model is detached, a follower has ended, or for a while."""
        waiting = [
            *running.values(),
            *(asyncio.create_task(event.wait()) for event in (stop, self._shared.changed)),
        ]
        try:
            await asyncio.wait(waiting, timeout=REVIEW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting[len(running) :]:
                task.cancel()
        self._shared.changed.clear()

    async def _wanted(self) -> set[str]:
        """The checkpoints to follow; all read models of ours are registered."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_REGISTERED)
            if self._shared.models.keys() - {row["name"] for row in rows} or not rows:
                await self._register(connection)
                rows = await connection.fetch(_REGISTERED)
            if not self._shards_settled:
                await self._settle_shards(connection)
            groups = [MAIN, *(row["checkpoint"] for row in rows)]
            names = await checkpoints.names_of(connection, groups)
            if MAIN not in names:
                raise CheckpointMissing(f"the checkpoint {MAIN} is missing")
        for row in rows:
            metrics.DETACHED.labels(row["name"]).set(row["checkpoint"] != MAIN)
        alone = [row for row in rows if row["checkpoint"] != MAIN]
        ours = {name: model.version for name, model in self._shared.models.items()}
        self.left_behind = {
            row["name"]: row["detached_because"] or "filled by another version"
            for row in alone
            if ours.get(row["name"], row["version"]) != row["version"]
        }
        ready = {row["checkpoint"] for row in alone if ours.get(row["name"]) == row["version"]}
        return {name for name in names if group_of(name) in {MAIN} | ready}

    async def _settle_shards(self, connection: Any) -> None:
        """Take up the number of shards wanted, if that can be; else follow those there are."""
        wanted, shared = self._shards, self._shared
        try:
            if len(await checkpoints.names_of(connection, [MAIN])) != wanted:
                page, service = shared.polling.page, shared.service
                await reshard(connection, shared.models, wanted, page=page, service=service)
        except (NotLevel, ModelFailed, Overtaken, *TRANSIENT) as error:
            log.warning("the number of shards stays", wanted=self._shards, error=str(error))
        else:
            self._shards_settled = True

    async def _register(self, connection: Any) -> None:
        """Let read models begin: the first all together, a later one detached, from the start."""
        async with connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))", SETUP_LOCK
            )
            known = {row["name"] for row in await connection.fetch(_REGISTERED)}
            new = {m.name: m.version for m in self._shared.models.values() if m.name not in known}
            if await checkpoints.read(connection, MAIN) is None:
                await checkpoints.begin(connection, MAIN, [START] * self._shards, new)
                return
            moment = await current(connection)
            now = Cursor(published=moment, target=moment)
            for name, version in new.items():
                own = checkpoints.detached(name)
                # What has no tables has effects, which are not to come of what is long past.
                place = START if self._shared.models[name].tables else now
                await checkpoints.begin(connection, own, [place], {name: version}, because="new")


__all__ = ["OnApplied", "Overtaken", "Polling", "Progress", "ProjectionRunner", "StandsBy"]
