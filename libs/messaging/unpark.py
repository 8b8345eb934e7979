"""Trying parked streams again, or giving them up."""

from typing import Any, TypeVar

import asyncpg

from libs.errors import NotFound
from libs.messaging import editions, parking
from libs.messaging.apply import make_ready, project_ready
from libs.messaging.parking import StreamKey
from libs.messaging.sift import Broken
from libs.messaging.wire import Delivered, Record, Unreadable, decode
from libs.projections.projection import Projection

Event = TypeVar("Event")


class NotParked(NotFound):
    """This stream is not parked."""


class StillFailing(Exception):
    """The stream cannot be applied yet; nothing was changed and it stays parked."""


async def retry(pool: asyncpg.Pool, projection: Projection[Event], key: StreamKey) -> int:
    """Apply a parked stream's records in order and lift the block, in one transaction.

    Answers how many were applied. The live projector waits meanwhile, so that nothing is parked
    behind the last letter. Raises NotParked, StillFailing.
    """
    async with pool.acquire() as connection:
        try:
            async with connection.transaction():
                return await _retry(connection, projection, key)
        except StillFailing as error:
            await parking.failed_again(connection, projection.name, key, str(error))
            raise


async def drop(pool: asyncpg.Pool, projection: Projection[Any], key: StreamKey) -> int:
    """Give up a parked stream's records and lift the block; how many were given up.

    The log still has them; a rebuild will try them again. Raises NotParked.
    """
    async with pool.acquire() as connection, connection.transaction():
        await editions.lock_live(connection, projection)
        letters = await parking.letters_of(connection, projection.name, key)
        if not await parking.release(connection, projection.name, key):
            raise NotParked
        return len(letters)


async def _retry(connection: Any, projection: Projection[Event], key: StreamKey) -> int:
    await editions.lock_live(connection, projection)
    letters = await parking.letters_of(connection, projection.name, key)
    if not await parking.release(connection, projection.name, key):
        raise NotParked
    ready = [make_ready(projection, letter, _decode(letter)) for letter in letters]
    done, failed = await project_ready(connection, projection, ready)
    if failed:
        raise StillFailing(next((f.error for f in failed if f.error), "a record fails"))
    return len(done)


def _decode(record: Record) -> Delivered | Broken:
    try:
        return decode(record)
    except Unreadable as error:
        return Broken(str(error))
