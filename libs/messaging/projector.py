"""The projector: keeps one read model up to date, whatever happens to database and broker.

It gives its consumer a new life whenever the old one broke or stands still; see
`libs.messaging.consumption` for what happens in one.
"""

import asyncio
from time import monotonic
from typing import Final, Generic, TypeVar

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from libs.messaging import metrics, parking
from libs.messaging.apply import TRANSIENT
from libs.messaging.consumption import (
    FIRST_BACKOFF,
    LAST_BACKOFF,
    Broken,
    Consumption,
    Died,
    OnApplied,
    Progress,
)
from libs.messaging.subscription import Source
from libs.process.waiting import wait
from libs.projections.projection import Projection

__all__ = ["Broken", "OnApplied", "Progress", "Projector", "Source"]

Event = TypeVar("Event")

log = structlog.get_logger("projector")

LOOK_SECONDS: Final = 1.0
STUCK_SECONDS: Final = 60.0


class Projector(Generic[Event]):
    """Keeps the live generation of `projection` up to date."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        projection: Projection[Event],
        source: Source,
        *,
        on_applied: OnApplied | None = None,
    ) -> None:
        self._pool = pool
        self._projection = projection
        self._source = source
        self._on_applied = on_applied
        self.progress = Progress()

    @property
    def name(self) -> str:
        """The projection's."""
        return self._projection.name

    async def run(self, stop: asyncio.Event) -> None:
        """Project until `stop` is set; survives database and broker going away.

        What cannot mend itself is said in `progress.broken`, and looked at again from time to
        time: a migration or a rebuild may have mended it.
        """
        pause = FIRST_BACKOFF
        while not stop.is_set():
            began = monotonic()
            try:
                await self._consume(stop)
            except Exception as error:  # noqa: BLE001 -- whatever it was, the checkpoint stands
                if monotonic() - began > 2 * LAST_BACKOFF:
                    pause = FIRST_BACKOFF
                self._complain(error, pause)
                await wait(stop, pause)
                pause = min(pause * 2, LAST_BACKOFF)

    def _complain(self, error: Exception, pause: float) -> None:
        if isinstance(error, Broken):
            self.progress.broken = str(error)
        self.progress.trouble = f"{type(error).__name__}: {error}"
        log.warning(
            "projector interrupted",
            projection=self.name,
            error=self.progress.trouble,
            retry_in=pause,
        )

    async def _consume(self, stop: asyncio.Event) -> None:
        """One life of the consumer: until stopped, broken or stuck."""
        consumption = Consumption(
            self._pool, self._projection, self._source, self.progress, self._on_applied
        )
        try:
            await consumption.start(stop)
            while not await wait(stop, LOOK_SECONDS):
                if consumption.broken:
                    raise Broken(consumption.broken)
                if consumption.dead:
                    raise Died("the consumer has ceased to work")
                await self._look(consumption)
        finally:
            await consumption.stop()

    async def _look(self, consumption: Consumption[Event]) -> None:
        """Measure; raises Broken when the consumer must be made anew."""
        try:
            await self._count_parked()
            await consumption.align()
            await consumption.hint()
            self.progress.lag = await consumption.lag()
        except (*TRANSIENT, KafkaError) as error:
            log.info("cannot look", projection=self.name, error=f"{type(error).__name__}: {error}")
            return
        metrics.PROJECTION_LAG.labels(self.name).set(self.progress.lag)
        if not self.progress.lag or consumption.busy:
            self.progress.moved_at = monotonic()
        still = monotonic() - self.progress.moved_at
        if still > STUCK_SECONDS:
            raise Broken(f"nothing moved for {still:.0f} s with {self.progress.lag} waiting")

    async def _count_parked(self) -> None:
        async with self._pool.acquire() as connection:
            parked = await parking.count(connection, self.name)
        if parked > self.progress.parked:
            log.warning("streams are parked", projection=self.name, streams=parked)
        self.progress.parked = parked
        metrics.PARKED.labels(self.name).set(parked)
