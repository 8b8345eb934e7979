"""Rebuilding read models beside the live ones, several in one pass over the log.

A rebuild applies the log from its beginning to the tables of the next version, at a checkpoint of
its own: if it is killed, the same command resumes it. It never overtakes `MAIN`, which is locked
for the last few events, so that both are at one position when compared and when switched.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, TypeAlias

import asyncpg

from libs.eventsourcing.tail import START, Cursor, Page, read_towards
from libs.postgres.guarded_pool import ANY_ERROR
from libs.projections import checkpoints, versions
from libs.projections.apply import ModelFailed, apply_page
from libs.projections.checkpoints import MAIN, Checkpoint
from libs.projections.compare import Progress, TableDiff, compare
from libs.projections.projection import Projection
from libs.projections.shards import earliest, shards_of
from libs.projections.versions import NoSuchVersion, VersionSchemas

ShardCheckpoints: TypeAlias = Sequence[Checkpoint]
"""The checkpoints of a version, one for each shard, by number."""

PAGE: Final = 5000
ATTEMPTS: Final = 50
"""How often a switch is attempted while the tables are in use."""


class RebuildFailed(Exception):
    """The rebuild cannot go on. The live read models are unchanged."""


class Rebuild:
    """A rebuild of several read models together.

    The pool must connect as the owner of the tables, and have four connections. Every method raises
    RebuildFailed, also while another process rebuilds one of the models.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        models: Sequence[Projection[Any]],
        schemas: VersionSchemas,
        *,
        service: str,
        progress: Progress = lambda *_: None,
        page: int = PAGE,
    ) -> None:
        self._pool = pool
        self._models = sorted(models, key=lambda model: model.name)
        self._schemas = schemas
        self._service = service
        self._progress = progress
        self._page = page

    async def build(self, *, anew: bool = False) -> list[TableDiff]:
        """Build the next versions and compare them with the live ones at the same position.

        Resumes an interrupted build, unless `anew` or the version of the code has changed. A
        detached read model is compared at its own position: the difference is what it lacks.
        """
        async with self._locked() as connection:
            # A crash of the server loses rows and checkpoint together, which are then built again.
            await connection.execute("SET synchronous_commit = off")
            shards = (None if anew else await self._resumable(connection)) or (
                await self._start(connection)
            )
            shards = await self._replay(connection, shards)
            self._progress("building the indexes", 0, 0)
            await versions.build_indexes(connection, self._tables, self._schemas)
            shards = await self._catch_up(connection, self._models, shards)
            diffs = await self._compare(connection, shards)
            await self._finish(connection)
            return diffs

    async def switch(self) -> None:
        """Make the next versions live. Readers always find the one or the other.

        Raises NoSuchVersion, ShapesDiffer.
        """
        async with self._locked() as connection:
            for model in self._models:
                await self._catch_up(connection, [model], await self._built(connection, model))
            await self._retry_while_in_use(connection, self._switch)

    async def roll_back(self) -> None:
        """Make the previous versions live again; the runner brings them level.

        Raises NoSuchVersion, ShapesDiffer.
        """
        async with self._locked() as connection:
            await self._retry_while_in_use(connection, self._roll_back)

    @property
    def _tables(self) -> list[str]:
        return [table for model in self._models for table in model.tables]

    @property
    def _building(self) -> str:
        return f"building/{'+'.join(model.name for model in self._models)}"

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[Any]:
        """The connection that holds a lock for each read model and does all the writing.

        If the connection is lost, so are the locks, and nothing can be written without them.
        """
        async with self._pool.acquire() as connection:
            try:
                for model in self._models:
                    if not await connection.fetchval(_LOCK, f"rebuild {model.name}"):
                        raise RebuildFailed(f"{model.name} is being rebuilt by another process")
                yield connection
            finally:
                with suppress(*ANY_ERROR):
                    await connection.execute("SELECT pg_advisory_unlock_all(); RESET ALL")

    async def _resumable(self, connection: Any) -> ShardCheckpoints | None:
        """The checkpoints of an interrupted build of exactly these models by this code, if any."""
        shards = await checkpoints.read_all(connection, self._building, state="next")
        code = {model.name: model.version for model in self._models}
        if not shards or shards[0].models != code:
            return None
        if len(shards) not in (1, len(await self._main_cursors(connection))):
            return None
        has_tables = await versions.exist(connection, self._tables, self._schemas.next)
        return shards if has_tables else None

    async def _start(self, connection: Any) -> ShardCheckpoints:
        async with connection.transaction():
            for model in self._models:
                await _delete_version(connection, model.name, "next")
            await versions.prepare(connection, self._tables, self._schemas)
            code = {model.name: model.version for model in self._models}
            await checkpoints.create(connection, self._building, [START], code, state="next")
        return [Checkpoint(name=self._building, batch=0, cursor=START, models=code)]

    async def _replay(self, connection: Any, shards: ShardCheckpoints) -> ShardCheckpoints:
        """Apply the log up to the earliest shard of `MAIN`, before the build is split."""
        shard, *others = shards
        done, total = await connection.fetchrow(_COUNT, shard.cursor.after_position)
        self._progress("replaying the log", done, total)
        if others or (shard.cursor.complete and shard.cursor != START):
            return shards
        target = earliest(await self._main_cursors(connection))
        return [
            await self._advance_to(connection, self._models, shard, target, done=done, total=total)
        ]

    async def _catch_up(
        self, connection: Any, models: Sequence[Projection[Any]], shards: ShardCheckpoints
    ) -> ShardCheckpoints:
        """Come so close to `MAIN` that it need not be locked for long."""
        self._progress("catching up", 0, 0)
        for _ in range(ATTEMPTS):
            before = sum(shard.batch for shard in shards)
            mains = await self._main_cursors(connection)
            shards = await self._advance_all(connection, models, shards, mains)
            if sum(shard.batch for shard in shards) - before <= len(shards):
                break
        return shards

    async def _advance_all(
        self,
        connection: Any,
        models: Sequence[Projection[Any]],
        shards: ShardCheckpoints,
        mains: Sequence[Cursor],
    ) -> ShardCheckpoints:
        """Bring the next versions, in every shard, to the position of `MAIN`."""
        # Several models have the shards of `MAIN`; one without a shard key has a single shard.
        numbers = shards_of(models[0], len(mains)) if len(models) == 1 else range(len(mains))
        if len(shards) == 1 < len(numbers):
            shard = await self._advance_to(connection, models, shards[0], earliest(mains))
            async with connection.transaction():
                await checkpoints.lock(connection, shard.name)
                await checkpoints.split(connection, shard.name, [shard.cursor] * len(numbers))
            shards = await checkpoints.read_all(connection, shard.name, state="next")
        if len(shards) != len(numbers):
            raise RebuildFailed("the number of shards has changed since: build it anew")
        return [
            await self._advance_to(connection, models, shard, mains[number])
            for shard, number in zip(shards, numbers, strict=True)
        ]

    async def _advance_to(
        self,
        connection: Any,
        models: Sequence[Projection[Any]],
        checkpoint: Checkpoint,
        main: Cursor,
        *,
        done: int = 0,
        total: int = 0,
    ) -> Checkpoint:
        """Apply pages up to `main`; the next page is read while one is applied."""
        async with self._pool.acquire() as reader:
            read = partial(read_towards, reader, goal=main, limit=self._page)
            reading = asyncio.create_task(read(checkpoint.cursor))
            try:
                while page := await reading:
                    reading = asyncio.create_task(read(page.cursor))
                    checkpoint = await self._apply(connection, models, checkpoint, page)
                    if total:
                        done += len(page.events)
                        self._progress("replaying the log", done, max(done, total))
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        return checkpoint

    async def _apply(
        self,
        connection: Any,
        models: Sequence[Projection[Any]],
        checkpoint: Checkpoint,
        page: Page,
    ) -> Checkpoint:
        try:
            applied = await apply_page(
                connection,
                models,
                checkpoint,
                page,
                search_path=f"{self._schemas.next}, {self._schemas.live}",
                state="next",
                service=self._service,
            )
        except ModelFailed as error:
            raise RebuildFailed(f"{error.model} cannot be built: {error}") from error
        return applied.checkpoint

    async def _compare(self, connection: Any, shards: ShardCheckpoints) -> list[TableDiff]:
        """Compare a snapshot taken while `MAIN` is locked and both are at the same position."""
        async with (
            self._pool.acquire() as snapshot,
            snapshot.transaction(isolation="repeatable_read", readonly=True),
        ):
            async with self._pool.acquire() as locking, locking.transaction():
                mains = await self._lock_main(locking)
                await self._advance_all(connection, self._models, shards, mains)
                # The first query takes the snapshot, while `MAIN` is locked.
                detached = await snapshot.fetch(_DETACHED, [model.name for model in self._models])
            for row in detached:
                self._progress(f"{row['name']} is detached: compared where it is", 0, 0)
            return await compare(snapshot, self._tables, self._schemas, self._progress)

    async def _finish(self, connection: Any) -> None:
        """Give each next version checkpoints of its own, so that it can be switched alone."""
        async with connection.transaction():
            for model in self._models:
                cursors = await _cursors_of(connection, model, "next")
                await _move_version(connection, model.name, "next", _built_name(model), cursors)
            await checkpoints.remove(connection, self._building)

    async def _built(self, connection: Any, model: Projection[Any]) -> ShardCheckpoints:
        """The checkpoints of a model's next version. Raises NoSuchVersion, RebuildFailed."""
        shards = await checkpoints.read_all(connection, _built_name(model), state="next")
        if not shards or model.name not in shards[0].models:
            raise NoSuchVersion(f"{model.name} has no next version that is built")
        if shards[0].models[model.name] != model.version:
            raise RebuildFailed(
                f"{model.name} was built by version {shards[0].models[model.name]} of its code,"
                f" this is version {model.version}: build it anew"
            )
        return shards

    async def _switch(self, connection: Any) -> None:
        mains = await self._lock_main(connection)
        for model in self._models:
            built = await self._built(connection, model)
            await self._advance_all(connection, [model], built, mains)
        await versions.switch(connection, self._tables, self._schemas)
        for model in self._models:
            await _delete_version(connection, model.name, "previous")
            cursors = await _cursors_of(connection, model)
            await _move_version(connection, model.name, "live", f"previous/{model.name}", cursors)
            await _set_state(connection, model.name, "live", "previous")
            await _set_state(connection, model.name, "next", "live")
            await checkpoints.assign(connection, model.name, MAIN)
        await _remove_unused(connection)
        await checkpoints.touch(connection, MAIN)

    async def _roll_back(self, connection: Any) -> None:
        mains = await self._lock_main(connection)
        for model in self._models:
            cursors = await _cursors_of(connection, model, "previous")
            if len(cursors) not in (1, len(mains)):
                raise RebuildFailed(f"{model.name} had {len(cursors)} shards then: build it anew")
        await versions.roll_back(connection, self._tables, self._schemas)
        for model in self._models:
            await _delete_version(connection, model.name, "next")
            cursors = await _cursors_of(connection, model)
            await _move_version(connection, model.name, "live", _built_name(model), cursors)
            await _set_state(connection, model.name, "live", "next")
            await _remove_unused(connection)
            cursors = await _cursors_of(connection, model, "previous")
            name, because = checkpoints.detached(model.name), "rolled back"
            await _move_version(connection, model.name, "previous", name, cursors, because=because)
            await _set_state(connection, model.name, "previous", "live")
        await _remove_unused(connection)
        await checkpoints.touch(connection, MAIN)

    async def _retry_while_in_use(self, connection: Any, change: Any) -> None:
        """Make a change in one transaction; repeat while the tables are in use."""
        for _ in range(ATTEMPTS):
            try:
                async with connection.transaction():
                    await change(connection)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                continue
            return
        raise RebuildFailed("the tables are always in use; try again when it is quieter")

    async def _main_cursors(self, connection: Any) -> Sequence[Cursor]:
        """The cursors of `MAIN`, one for each shard."""
        if not (mains := await checkpoints.read_all(connection, MAIN)):
            raise RebuildFailed("the worker of this service has never run")
        return [one.cursor for one in mains]

    async def _lock_main(self, connection: Any) -> Sequence[Cursor]:
        """Lock `MAIN` until the transaction ends; its cursors, one for each shard."""
        # Waits for the runner's page, however long that takes.
        await connection.execute("SET LOCAL lock_timeout = 0")
        locked = await checkpoints.lock(connection, MAIN)
        if MAIN not in locked:
            raise RebuildFailed("the worker of this service has never run")
        return [one.cursor for one in locked[MAIN]]


_LOCK: Final = """
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' ' || $1, 0))
"""

_COUNT: Final = """
SELECT count(*) FILTER (WHERE position <= $1) AS done, count(*) AS total FROM events
"""

_DETACHED: Final = """
SELECT name FROM projections WHERE name = ANY($1) AND state = 'live' AND checkpoint <> 'main'
"""

_CHECKPOINT_OF: Final = "SELECT checkpoint FROM projections WHERE name = $1 AND state = $2"


def _built_name(model: Projection[Any]) -> str:
    return f"built/{model.name}"


async def _cursors_of(
    connection: Any, model: Projection[Any], state: str = "live"
) -> Sequence[Cursor]:
    """Lock a version's checkpoints; its cursors, one for each shard. Raises NoSuchVersion."""
    name = await connection.fetchval(_CHECKPOINT_OF, model.name, state)
    if name is None:
        raise NoSuchVersion(f"{model.name} has no {state} version")
    shards = (await checkpoints.lock(connection, name))[name]
    return [shards[number].cursor for number in shards_of(model, len(shards))]


async def _move_version(
    connection: Any,
    model: str,
    state: str,
    name: str,
    cursors: Sequence[Cursor],
    *,
    because: str | None = None,
) -> None:
    """Move a version of the model to new checkpoints of its own."""
    await checkpoints.create(connection, name, cursors, {})
    await checkpoints.assign(connection, model, name, state=state, because=because)


async def _set_state(connection: Any, model: str, old: str, new: str) -> None:
    """Change the state of a version. Its parked streams stay parked."""
    query = "UPDATE projections SET state = $3, changed_at = now() WHERE name = $1 AND state = $2"
    await connection.execute(query, model, old, new)


async def _delete_version(connection: Any, model: str, state: str) -> None:
    """Delete a version, and its checkpoints if no other version is at them."""
    await connection.execute("DELETE FROM projections WHERE name = $1 AND state = $2", model, state)
    await _remove_unused(connection)


async def _remove_unused(connection: Any) -> None:
    await connection.execute(
        """DELETE FROM projection_checkpoints AS c WHERE name LIKE '%/%'
        AND NOT EXISTS (SELECT FROM projections WHERE checkpoint = split_part(c.name, '#', 1))"""
    )
