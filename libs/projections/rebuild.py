"""Building read models anew beside the live ones: several in one pass over the log.

It is the runner's loop from the beginning of the log into the next version's tables, with a
checkpoint of its own: killed anywhere, the same command goes on. It follows `MAIN` and never
overtakes it, so the two can be brought to the very same place, by holding `MAIN` for the last few
events: there they are compared, and there they are switched.

Longer than most: a rebuild from its first row to its switch.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import asyncpg

from libs.eventsourcing.tail import START, Cursor, Page, read_difference, read_page
from libs.projections import checkpoints, versions
from libs.projections.apply import ModelFailed, apply_page
from libs.projections.checkpoints import MAIN, Checkpoint
from libs.projections.compare import Progress, TableDiff, compare
from libs.projections.projection import Projection
from libs.projections.versions import NoSuchVersion, Schemas

PAGE: Final = 5000
ATTEMPTS: Final = 50
"""How often tables in use are tried to be switched."""


class RebuildFailed(Exception):
    """The rebuild cannot go on; the live read models are as they were."""


class Rebuild:
    """A rebuild of `models`, together.

    The pool must be the owner's, who may create and move tables, and have four connections. Every
    method raises RebuildFailed, also while another process rebuilds one of the models.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        models: Sequence[Projection[Any]],
        schemas: Schemas,
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
        """Build the next versions and compare them with the live ones, at one place in the log.

        A build that was broken off goes on, unless `anew` or the code has another version now. A
        live read model that is detached is compared where it is: the difference is what it lacks.
        """
        async with self._locked() as connection:
            # What a crash of the server takes back is built again: rows and checkpoint go together.
            await connection.execute("SET synchronous_commit = off")
            checkpoint = (None if anew else await self._unfinished(connection)) or (
                await self._begin(connection)
            )
            checkpoint = await self._load(connection, checkpoint)
            await self._build_indexes(connection)
            checkpoint = await self._approach(connection, self._models, checkpoint)
            diffs = await self._compare(connection, checkpoint)
            await self._finish(connection, checkpoint)
            return diffs

    async def switch(self) -> None:
        """Make the next versions live. Readers meet one or the other, never neither.

        Raises NoSuchVersion, ShapesDiffer.
        """
        async with self._locked() as connection:
            for model in self._models:
                await self._approach(connection, [model], await self._built(connection, model))
            await self._insist(connection, self._switch)

    async def roll_back(self) -> None:
        """Make the previous versions live again: their runner catches them up.

        Raises NoSuchVersion, ShapesDiffer.
        """
        async with self._locked() as connection:
            await self._insist(connection, self._roll_back)

    @property
    def _tables(self) -> list[str]:
        return [table for model in self._models for table in model.tables]

    @property
    def _building(self) -> str:
        return f"building/{'+'.join(model.name for model in self._models)}"

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[Any]:
        """The connection that does all the work: it holds a lock for each model, so that what has
        lost its locks can write no more.
        """
        async with self._pool.acquire() as connection:
            try:
                for model in self._models:
                    if not await connection.fetchval(_LOCK, f"rebuild {model.name}"):
                        raise RebuildFailed(f"{model.name} is being rebuilt by another process")
                yield connection
            finally:
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await connection.execute("SELECT pg_advisory_unlock_all(); RESET ALL")

    async def _unfinished(self, connection: Any) -> Checkpoint | None:
        """Where a build of exactly these models, by this code, was broken off."""
        found = await checkpoints.read(connection, self._building, state="next")
        wanted = {model.name: model.version for model in self._models}
        if found is None or found.models != wanted:
            return None
        there = await versions.are_there(connection, self._tables, self._schemas.next)
        return found if there else None

    async def _begin(self, connection: Any) -> Checkpoint:
        async with connection.transaction():
            for model in self._models:
                await _forget(connection, model.name, "next")
            await versions.prepare(connection, self._tables, self._schemas)
            numbers = {model.name: model.version for model in self._models}
            await checkpoints.begin(connection, self._building, START, numbers, state="next")
        return Checkpoint(name=self._building, batch=0, cursor=START, models=numbers)

    async def _load(self, connection: Any, checkpoint: Checkpoint) -> Checkpoint:
        """Apply the log as far as `MAIN` has come by now."""
        main = (await self._main(connection)).cursor
        done, total = await connection.fetchrow(_COUNT, checkpoint.cursor.after_position)
        self._progress("replaying the log", done, total)
        if checkpoint.cursor.complete and checkpoint.cursor != START:
            return checkpoint
        return await self._go(connection, self._models, checkpoint, main, done=done, total=total)

    async def _build_indexes(self, connection: Any) -> None:
        self._progress("building the indexes", 0, 0)
        await versions.build_indexes(connection, self._tables, self._schemas)

    async def _approach(
        self, connection: Any, models: Sequence[Projection[Any]], checkpoint: Checkpoint
    ) -> Checkpoint:
        """Come so close to `MAIN` that it need not be held for long."""
        self._progress("catching up", 0, 0)
        for _ in range(ATTEMPTS):
            pages = -checkpoint.batch
            main = (await self._main(connection)).cursor
            checkpoint = await self._go(connection, models, checkpoint, main)
            pages += checkpoint.batch
            if pages <= 1:
                break
        return checkpoint

    async def _go(
        self,
        connection: Any,
        models: Sequence[Projection[Any]],
        checkpoint: Checkpoint,
        main: Cursor,
        *,
        done: int = 0,
        total: int = 0,
    ) -> Checkpoint:
        """Apply pages until the checkpoint is at `main`: one is read while another is applied."""
        async with self._pool.acquire() as reader:
            coming = asyncio.create_task(self._read(reader, checkpoint.cursor, main))
            try:
                while page := await coming:
                    coming = asyncio.create_task(self._read(reader, page.cursor, main))
                    checkpoint = await self._apply(connection, models, checkpoint, page)
                    if total:
                        done += len(page.events)
                        self._progress("replaying the log", done, max(done, total))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
        return checkpoint

    async def _read(self, connection: Any, cursor: Cursor, main: Cursor) -> Page | None:
        return await read_towards(connection, cursor, main, limit=self._page)

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

    async def _compare(self, connection: Any, checkpoint: Checkpoint) -> list[TableDiff]:
        """Hold `MAIN` until all are at one place, then compare on a snapshot of that moment."""
        async with (
            self._pool.acquire() as snapshot,
            snapshot.transaction(isolation="repeatable_read", readonly=True),
        ):
            async with self._pool.acquire() as holder, holder.transaction():
                main = await self._hold(holder)
                await self._go(connection, self._models, checkpoint, main)
                # The snapshot is taken by the first query, while nothing moves.
                behind = await snapshot.fetch(_DETACHED, [model.name for model in self._models])
            for row in behind:
                self._progress(f"{row['name']} is detached: compared where it is", 0, 0)
            return await compare(snapshot, self._tables, self._schemas, self._progress)

    async def _finish(self, connection: Any, checkpoint: Checkpoint) -> None:
        """Give each next version a checkpoint of its own: it may be switched without the others."""
        async with connection.transaction():
            cursor = (await checkpoints.lock(connection, checkpoint.name))[checkpoint.name].cursor
            for model in self._models:
                await _move_to(connection, model.name, "next", _built_name(model), cursor)
            await checkpoints.remove(connection, checkpoint.name)

    async def _built(self, connection: Any, model: Projection[Any]) -> Checkpoint:
        found = await checkpoints.read(connection, _built_name(model), state="next")
        if found is None or model.name not in found.models:
            raise NoSuchVersion(f"{model.name} has no next version that is built")
        if found.models[model.name] != model.version:
            raise RebuildFailed(
                f"{model.name} was built by version {found.models[model.name]} of its code,"
                f" this is version {model.version}: build it anew"
            )
        return found

    async def _switch(self, connection: Any) -> None:
        main = await self._hold(connection)
        for model in self._models:
            built = await self._built(connection, model)
            await self._go(connection, [model], built, main)
        await versions.switch(connection, self._tables, self._schemas)
        for model in self._models:
            await _forget(connection, model.name, "previous")
            place = await _place_of(connection, model.name)
            await _move_to(connection, model.name, "live", f"previous/{model.name}", place)
            await _become(connection, model.name, "live", "previous")
            await _become(connection, model.name, "next", "live")
            await checkpoints.assign(connection, model.name, MAIN)
        await _remove_unused(connection)
        await checkpoints.touch(connection, MAIN)

    async def _roll_back(self, connection: Any) -> None:
        await self._hold(connection)
        for model in self._models:
            if not await connection.fetchval(_EXISTS, model.name, "previous"):
                raise NoSuchVersion(f"{model.name} has no previous version")
        await versions.roll_back(connection, self._tables, self._schemas)
        for model in self._models:
            await _forget(connection, model.name, "next")
            place = await _place_of(connection, model.name)
            await _move_to(connection, model.name, "live", _built_name(model), place)
            await _become(connection, model.name, "live", "next")
            await _remove_unused(connection)
            place = await _place_of(connection, model.name, "previous")
            name, because = checkpoints.detached(model.name), "rolled back"
            await _move_to(connection, model.name, "previous", name, place, because=because)
            await _become(connection, model.name, "previous", "live")
        await _remove_unused(connection)
        await checkpoints.touch(connection, MAIN)

    async def _insist(self, connection: Any, change: Any) -> None:
        """Make a change in one transaction, as soon as the tables are not in use."""
        for _ in range(ATTEMPTS):
            try:
                async with connection.transaction():
                    await change(connection)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                continue
            return
        raise RebuildFailed("the tables are always in use; try again when it is quieter")

    async def _main(self, connection: Any) -> Checkpoint:
        if (main := await checkpoints.read(connection, MAIN)) is None:
            raise RebuildFailed("the worker of this service has never run")
        return main

    async def _hold(self, connection: Any) -> Cursor:
        """Where `MAIN` is, and stays until this transaction ends."""
        # A page of the runner is waited for, however long it takes.
        await connection.execute("SET LOCAL lock_timeout = 0")
        held = await checkpoints.lock(connection, MAIN)
        if MAIN not in held:
            raise RebuildFailed("the worker of this service has never run")
        return held[MAIN].cursor


async def read_towards(connection: Any, cursor: Cursor, goal: Cursor, *, limit: int) -> Page | None:
    """The next page behind `cursor` on the way to `goal`, which must be a later place; None there.

    The last page's cursor is `goal`, or as good as it.
    """
    if not cursor.complete:
        if goal.complete or (cursor.published, cursor.target) != (goal.published, goal.target):
            return await read_page(connection, cursor, limit=limit)
        return await _read_within(connection, cursor.after_position, goal, limit)
    reached = goal.target if goal.complete else goal.published
    if cursor.target != reached:
        return await read_page(connection, cursor, limit=limit, until=reached)
    return None if goal.complete else await _read_within(connection, 0, goal, limit)


async def _read_within(connection: Any, after: int, goal: Cursor, limit: int) -> Page | None:
    """The next page of the difference that `goal` is in the middle of."""
    until = goal.after_position
    if after >= until:
        return None
    page = await read_difference(
        connection, goal.published, goal.target, after=after, until_position=until, limit=limit
    )
    last = until if page.cursor.complete else page.cursor.after_position
    return replace(page, cursor=replace(goal, after_position=last))


_LOCK: Final = """
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' ' || $1, 0))
"""

_COUNT: Final = """
SELECT count(*) FILTER (WHERE position <= $1) AS done, count(*) AS total FROM events
"""

_DETACHED: Final = """
SELECT name FROM projections WHERE name = ANY($1) AND state = 'live' AND checkpoint <> 'main'
"""

_EXISTS: Final = "SELECT EXISTS (SELECT FROM projections WHERE name = $1 AND state = $2)"

_PLACE_OF: Final = "SELECT checkpoint FROM projections WHERE name = $1 AND state = $2"


def _built_name(model: Projection[Any]) -> str:
    return f"built/{model.name}"


async def _place_of(connection: Any, model: str, state: str = "live") -> Cursor:
    """Where in the log a version of the model is, held. Raises NoSuchVersion."""
    name = await connection.fetchval(_PLACE_OF, model, state)
    if name is None:
        raise NoSuchVersion(f"{model} has no {state} version")
    return (await checkpoints.lock(connection, name))[name].cursor


async def _move_to(
    connection: Any,
    model: str,
    state: str,
    name: str,
    cursor: Cursor,
    *,
    because: str | None = None,
) -> None:
    """Put a version of the model at a new checkpoint of its own."""
    await checkpoints.begin(connection, name, cursor, {})
    await checkpoints.assign(connection, model, name, state=state, because=because)


async def _become(connection: Any, model: str, old: str, new: str) -> None:
    """Give a version another state; what it has parked stays parked."""
    await connection.execute(
        "UPDATE projections SET state = $3, changed_at = now() WHERE name = $1 AND state = $2",
        model,
        old,
        new,
    )


async def _forget(connection: Any, model: str, state: str) -> None:
    """Delete what is known of a version, and the checkpoint if it was the last one there."""
    await connection.execute("DELETE FROM projections WHERE name = $1 AND state = $2", model, state)
    await _remove_unused(connection)


async def _remove_unused(connection: Any) -> None:
    await connection.execute(
        """DELETE FROM projection_checkpoints AS c WHERE name LIKE '%/%'
        AND NOT EXISTS (SELECT FROM projections WHERE checkpoint = c.name)"""
    )
