"""Retention: deletes old rows of the read model `shown`, a batch at a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.postgres.pool import Pool, acquire
from libs.process.periodic import Periodic
from services.scale_bridge.context import Context
from services.scale_bridge.monitoring.read_models import display_history
from services.scale_bridge.monitoring.read_models.display_history import ScaleKey

ROUND_SECONDS: Final = 20.0
PAUSE: Final = timedelta(hours=1)
"""The pause between two passes over all scales."""
SPARE: Final = timedelta(hours=1)
"""Rows stay so much longer than they are queried, since clocks differ."""
SCALES: Final = 50
BATCH: Final = 1000
BATCHES: Final = 20
"""The limits of one run: scales, rows of a batch, batches."""
FIRST: Final[ScaleKey] = ("", UUID(int=0))

log = structlog.get_logger(__name__)


def job(context: Context) -> Periodic | None:
    """The job of workers; None if rows are kept for ever."""
    if not (days := context.settings.shown_days):
        return None
    passes = Retention(pool=context.system, clock=context.clock, retained_for=timedelta(days=days))
    return Periodic("forgetting", passes.run_once, ROUND_SECONDS)


@dataclass(kw_only=True, slots=True)
class Retention:
    """Passes over all scales of all tenants. `pool` is in system scope; several may run at once."""

    pool: Pool
    clock: Clock
    retained_for: timedelta
    after: ScaleKey = FIRST
    paused_until: datetime | None = None

    async def run_once(self) -> None:
        """Delete the next batches. Raises Unavailable."""
        now = self.clock()
        if self.paused_until is not None and now < self.paused_until:
            return
        until = now - self.retained_for - SPARE
        async with acquire(self.pool) as connection:
            scales = await display_history.scales(connection, self.after, limit=SCALES)
        left = BATCHES
        for scale in scales:
            left = await self._delete(scale, until, left)
            if not left:
                # The next run begins with this scale.
                return
            self.after = scale
        self.paused_until = None
        if len(scales) < SCALES:
            self.after, self.paused_until = FIRST, now + PAUSE

    async def _delete(self, scale: ScaleKey, until: datetime, left: int) -> int:
        """The batches left after a scale; 0 if the scale may have more rows."""
        total = 0
        while left:
            # One transaction per batch: the locks of a scale do not block another.
            async with acquire(self.pool) as connection:
                deleted = await display_history.delete_old(connection, scale, until, limit=BATCH)
            if not deleted:
                break
            total, left = total + deleted, left - 1
        if total:
            log.info("shown forgotten", device=str(scale[1]), rows=total)
        return left
