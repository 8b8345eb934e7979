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
from functools import partial
from typing import Any, Final, TypeAlias

import asyncpg

from libs.eventsourcing.tail import START, Cursor, Page
from libs.projections import checkpoints, versions
from libs.projections.apply import ModelFailed, apply_page
from libs.projections.checkpoints import MAIN, Checkpoint
from libs.projections.compare import Progress, TableDiff, compare
from libs.projections.projection import Projection
from libs.projections.reading import read_towards
from libs.projections.shards import earliest, shards_of
from libs.projections.versions import NoSuchVersion, VersionSchemas

Places: TypeAlias = Sequence[Checkpoint]
"""The checkpoints of a version in their shards, by number."""

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
        """Build the next versions and compare them with the live ones, at one place in the log.

        A build that was broken off goes on, unless `anew` or the code has another version now. A
        live read model that is detached is compared where it is: the difference is what it lacks.
        """
        async with self._locked() as connection:
            # What a crash of the server takes back is built again: rows and checkpoint go together.
            await connection.execute("SET synchronous_commit = off")
            places = (None if anew else await self._unfinished(connection)) or (
                await self._begin(connection)
            )
            places = await self._load(connection, places)
            await self._build_indexes(connection)
            places = await self._approach(connection, self._models, places)
            diffs = await self._compare(connection, places)
            await self._finish(connection)
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

    async def _unfinished(self, connection: Any) -> Places | None:
        """Where a build of exactly these models, by this code, was broken off."""
        found = await checkpoints.read_all(connection, self._building, state="next")
        wanted = {model.name: model.version for model in self._models}
        if not found or found[0].models != wanted:
            return None
        if len(found) not in (1, len(await self._mains(connection))):
            return None
        there = await versions.are_there(connection, self._tables, self._schemas.next)
        return found if there else None

    async def _begin(self, connection: Any) -> Places:
        async with connection.transaction():
            for model in self._models:
                await _forget(connection, model.name, "next")
            await versions.prepare(connection, self._tables, self._schemas)
            numbers = {model.name: model.version for model in self._models}
            await checkpoints.begin(connection, self._building, [START], numbers, state="next")
        return [Checkpoint(name=self._building, batch=0, cursor=START, models=numbers)]

    async def _load(self, connection: Any, places: Places) -> Places:
        """Apply the log as far as all shards of `MAIN` have come by now."""
        place, *others = places
        done, total = await connection.fetchrow(_COUNT, place.cursor.after_position)
        self._progress("replaying the log", done, total)
        if others or (place.cursor.complete and place.cursor != START):
            return places
        goal = earliest(await self._mains(connection))
        return [await self._go(connection, self._models, place, goal, done=done, total=total)]

    async def _build_indexes(self, connection: Any) -> None:
        self._progress("building the indexes", 0, 0)
        await versions.build_indexes(connection, self._tables, self._schemas)

    async def _approach(
        self, connection: Any, models: Sequence[Projection[Any]], places: Places
    ) -> Places:
        """Come so close to `MAIN` that it need not be held for long."""
        self._progress("catching up", 0, 0)
        for _ in range(ATTEMPTS):
            before = sum(place.batch for place in places)
            places = await self._go_all(connection, models, places, await self._mains(connection))
            if sum(place.batch for place in places) - before <= len(places):
                break
        return places

    async def _go_all(
        self,
        connection: Any,
        models: Sequence[Projection[Any]],
        places: Places,
        mains: Sequence[Cursor],
    ) -> Places:
        """Bring the next versions, in every shard, to where `MAIN` is."""
        # Together they are split as `MAIN` is; one that is not to be split has but one place.
        shards = shards_of(models[0], len(mains)) if len(models) == 1 else range(len(mains))
        if len(places) == 1 < len(shards):
            place = await self._go(connection, models, places[0], earliest(mains))
            async with connection.transaction():
                await checkpoints.lock(connection, place.name)
                await checkpoints.split(connection, place.name, [place.cursor] * len(shards))
            places = await checkpoints.read_all(connection, place.name, state="next")
        if len(places) != len(shards):
            raise RebuildFailed("the number of shards has changed since: build it anew")
        return [
            await self._go(connection, models, place, mains[shard])
            for place, shard in zip(places, shards, strict=True)
        ]

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
            read = partial(read_towards, reader, goal=main, limit=self._page)
            coming = asyncio.create_task(read(checkpoint.cursor))
            try:
                while page := await coming:
                    coming = asyncio.create_task(read(page.cursor))
                    checkpoint = await self._apply(connection, models, checkpoint, page)
                    if total:
                        done += len(page.events)
                        self._progress("replaying the log", done, max(done, total))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
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

    async def _compare(self, connection: Any, places: Places) -> list[TableDiff]:
        """Hold `MAIN` until all are at one place, then compare on a snapshot of that moment."""
        async with (
            self._pool.acquire() as snapshot,
            snapshot.transaction(isolation="repeatable_read", readonly=True),
        ):
            async with self._pool.acquire() as holder, holder.transaction():
                mains = await self._hold(holder)
                await self._go_all(connection, self._models, places, mains)
                # The snapshot is taken by the first query, while nothing moves.
                behind = await snapshot.fetch(_DETACHED, [model.name for model in self._models])
            for row in behind:
                self._progress(f"{row['name']} is detached: compared where it is", 0, 0)
            return await compare(snapshot, self._tables, self._schemas, self._progress)

    async def _finish(self, connection: Any) -> None:
        """Give each next version a checkpoint of its own: it may be switched without the others."""
        async with connection.transaction():
            for model in self._models:
                cursors = await _places_of(connection, model, "next")
                await _move_to(connection, model.name, "next", _built_name(model), cursors)
            await checkpoints.remove(connection, self._building)

    async def _built(self, connection: Any, model: Projection[Any]) -> Places:
        found = await checkpoints.read_all(connection, _built_name(model), state="next")
        if not found or model.name not in found[0].models:
            raise NoSuchVersion(f"{model.name} has no next version that is built")
        if found[0].models[model.name] != model.version:
            raise RebuildFailed(
                f"{model.name} was built by version {found[0].models[model.name]} of its code,"
                f" this is version {model.version}: build it anew"
            )
        return found

    async def _switch(self, connection: Any) -> None:
        mains = await self._hold(connection)
        for model in self._models:
            built = await self._built(connection, model)
            await self._go_all(connection, [model], built, mains)
        await versions.switch(connection, self._tables, self._schemas)
        for model in self._models:
            await _forget(connection, model.name, "previous")
            places = await _places_of(connection, model)
            await _move_to(connection, model.name, "live", f"previous/{model.name}", places)
            await _become(connection, model.name, "live", "previous")
            await _become(connection, model.name, "next", "live")
            await checkpoints.assign(connection, model.name, MAIN)
        await _remove_unused(connection)
        await checkpoints.touch(connection, MAIN)

    async def _roll_back(self, connection: Any) -> None:
        mains = await self._hold(connection)
        for model in self._models:
            places = await _places_of(connection, model, "previous")
            if len(places) not in (1, len(mains)):
                raise RebuildFailed(f"{model.name} had {len(places)} shards then: build it anew")
        await versions.roll_back(connection, self._tables, self._schemas)
        for model in self._models:
            await _forget(connection, model.name, "next")
            places = await _places_of(connection, model)
            await _move_to(connection, model.name, "live", _built_name(model), places)
            await _become(connection, model.name, "live", "next")
            await _remove_unused(connection)
            places = await _places_of(connection, model, "previous")
            name, because = checkpoints.detached(model.name), "rolled back"
            await _move_to(connection, model.name, "previous", name, places, because=because)
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

    async def _mains(self, connection: Any) -> Sequence[Cursor]:
        """Where the shards of `MAIN` are."""
        if not (mains := await checkpoints.read_all(connection, MAIN)):
            raise RebuildFailed("the worker of this service has never run")
        return [one.cursor for one in mains]

    async def _hold(self, connection: Any) -> Sequence[Cursor]:
        """Where the shards of `MAIN` are, and stay until this transaction ends."""
        # A page of the runner is waited for, however long it takes.
        await connection.execute("SET LOCAL lock_timeout = 0")
        held = await checkpoints.lock(connection, MAIN)
        if MAIN not in held:
            raise RebuildFailed("the worker of this service has never run")
        return [one.cursor for one in held[MAIN]]


_LOCK: Final = """
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' ' || $1, 0))
"""

_COUNT: Final = """
SELECT count(*) FILTER (WHERE position <= $1) AS done, count(*) AS total FROM events
"""

_DETACHED: Final = """
SELECT name FROM projections WHERE name = ANY($1) AND state = 'live' AND checkpoint <> 'main'
"""

_PLACE_OF: Final = "SELECT checkpoint FROM projections WHERE name = $1 AND state = $2"


def _built_name(model: Projection[Any]) -> str:
    return f"built/{model.name}"


async def _places_of(
    connection: Any, model: Projection[Any], state: str = "live"
) -> Sequence[Cursor]:
    """Where in the log a version of the model is, in its shards, held. Raises NoSuchVersion."""
    name = await connection.fetchval(_PLACE_OF, model.name, state)
    if name is None:
        raise NoSuchVersion(f"{model.name} has no {state} version")
    places = (await checkpoints.lock(connection, name))[name]
    return [places[shard].cursor for shard in shards_of(model, len(places))]


async def _move_to(
    connection: Any,
    model: str,
    state: str,
    name: str,
    cursors: Sequence[Cursor],
    *,
    because: str | None = None,
) -> None:
    """Put a version of the model at a new checkpoint of its own."""
    await checkpoints.begin(connection, name, cursors, {})
    await checkpoints.assign(connection, model, name, state=state, because=because)


async def _become(connection: Any, model: str, old: str, new: str) -> None:
    """Give a version another state; what it has parked stays parked."""
    query = "UPDATE projections SET state = $3, changed_at = now() WHERE name = $1 AND state = $2"
    await connection.execute(query, model, old, new)


async def _forget(connection: Any, model: str, state: str) -> None:
    """Delete what is known of a version, and the checkpoint if it was the last one there."""
    await connection.execute("DELETE FROM projections WHERE name = $1 AND state = $2", model, state)
    await _remove_unused(connection)


async def _remove_unused(connection: Any) -> None:
    await connection.execute(
        """DELETE FROM projection_checkpoints AS c WHERE name LIKE '%/%'
        AND NOT EXISTS (SELECT FROM projections WHERE checkpoint = split_part(c.name, '#', 1))"""
    )
