"""The last use of each key: collected in memory, written once a minute."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid

from libs.clock import Clock, utc_now
from libs.errors import Unavailable
from libs.postgres.guarded_pool import ANY_ERROR
from libs.postgres.pool import Pool, acquire, tenant_transaction
from libs.postgres.upsert import upsert
from services.gateway.doors.domain.caller import Caller

SECONDS: Final = 60.0
AWAY: Final = (Unavailable, *ANY_ERROR)

KEY_USE: Final = Table(
    "key_use",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("key_id", Uuid, primary_key=True),
    Column("last_used", DateTime(timezone=True)),
)
WRITE: Final = upsert(KEY_USE, greatest="last_used")
READ: Final = "SELECT key_id, last_used FROM key_use"

log = structlog.get_logger(__name__)


class KeyUses:
    """The last uses that this process saw. `pool` is in system scope.

    A store and no read model: a crash loses one minute of it, which is acceptable.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        seconds: float = SECONDS,
        clock: Clock = utc_now,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._seconds = seconds
        self._clock = clock
        self._now = now
        self._write_at = now() + seconds
        self._seen: dict[tuple[str, UUID], datetime] = {}
        self._writing: asyncio.Task[None] | None = None

    def seen(self, caller: Caller) -> None:
        """Record that the caller's key was used now. Returns at once; a background task writes."""
        self._seen[caller.tenant, caller.subject] = self._clock()
        if self._now() >= self._write_at:
            self._write_at = self._now() + self._seconds
            self._writing = asyncio.create_task(self.write())

    async def write(self) -> None:
        """Write the uses since the last write; without the database they stay for the next."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            async with acquire(self._pool) as connection:
                await WRITE.put(connection, ((*key, at) for key, at in seen.items()))
        except AWAY as error:
            log.warning("uses of keys not written", reason=type(error).__name__)
            self._seen = seen | self._seen

    async def close(self) -> None:
        """Write the remaining uses."""
        if self._writing is not None:
            await self._writing
        await self.write()


async def last_uses(pool: Pool, tenant: str) -> Mapping[UUID, datetime]:
    """The last uses of a tenant's keys that were written. Raises Unavailable."""
    async with tenant_transaction(pool, tenant) as connection:
        return {row["key_id"]: row["last_used"] for row in await connection.fetch(READ)}
