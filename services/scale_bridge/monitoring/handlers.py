"""Retention: deletes old rows of what scales showed, a batch at a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.postgres.pool import Pool, acquire
from services.scale_bridge.monitoring.read_models import shown_retention
from services.scale_bridge.monitoring.read_models.shown_retention import ScaleKey

ROUND_SECONDS: Final = 20.0
PAUSE: Final = timedelta(hours=1)
"""How long after the end of the list it is begun anew."""
SPARE: Final = timedelta(hours=1)
"""Clocks differ: rows that may still be queried are kept for this long."""
SCALES: Final = 50
BATCH: Final = 1000
BATCHES: Final = 20
"""How much one run does at most."""
FIRST: Final[ScaleKey] = ("", UUID(int=0))

log = structlog.get_logger(__name__)


@dataclass(kw_only=True, slots=True)
class Retention:
    """Goes from scale to scale. `pool` sees all tenants; two of these do nothing twice."""

    pool: Pool
    clock: Clock
    retained_for: timedelta
    after: ScaleKey = FIRST
    rests_until: datetime | None = None

    async def run_once(self) -> None:
        """Let go of some. Raises Unavailable."""
        now = self.clock()
        if self.rests_until is not None and now < self.rests_until:
            return
        until = now - self.retained_for - SPARE
        async with acquire(self.pool) as connection:
            found = await shown_retention.scales(connection, self.after, limit=SCALES)
        left = BATCHES
        for scale in found:
            left = await self._forget(scale, until, left)
            if not left:
                # The same one again, the next time: it is not done.
                return
            self.after = scale
        self.rests_until = None
        if len(found) < SCALES:
            self.after, self.rests_until = FIRST, now + PAUSE

    async def _forget(self, scale: ScaleKey, until: datetime, left: int) -> int:
        """How many batches are left after this scale; 0 if it is not known to be done."""
        total = 0
        while left:
            # A transaction for each: locks of one scale do not block another.
            async with acquire(self.pool) as connection:
                gone = await shown_retention.forget(connection, scale, until, limit=BATCH)
            if not gone:
                break
            total, left = total + gone, left - 1
        if total:
            log.info("shown forgotten", device=str(scale[1]), rows=total)
        return left
