"""The nightly purge: what was forgotten since the last one leaves the files of the database."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import structlog
from sqlalchemy import Table

from libs.clock import Clock, utc_now
from libs.postgres.personal import Postponed, Purged, purge
from libs.postgres.pool import SYSTEM, open_pool
from libs.process.periodic import Periodic

PERIOD_SECONDS: Final = 20 * 60.0
"""Several attempts within the hour, in case one is postponed."""

log = structlog.get_logger(__name__)


def purge_job(
    service: str, settings: Any, personal: Sequence[Table], *, clock: Clock = utc_now
) -> Periodic:
    """The job that purges in the hour of the `VaultSettings`. Several workers may run it."""

    async def run() -> None:
        if clock().hour != settings.purge_hour:
            return
        try:
            done = await purge_as_owner(service, settings, personal)
        except Postponed as reason:
            log.warning("purge postponed", reason=str(reason))
        else:
            if done.persons:
                log.info("purged", persons=done.persons, tables=done.tables)

    return Periodic("purge", run, PERIOD_SECONDS)


async def purge_as_owner(service: str, settings: Any, personal: Sequence[Table]) -> Purged:
    """Purge with the rights of the login itself. Raises Postponed, Unavailable."""
    pool = await open_pool(
        settings.database_url.get_secret_value(),
        role=None,
        schema=service,
        size=1,
        application_name=f"{service} purge",
        tenant_scope=SYSTEM,
        statement_timeout=timedelta(0),
    )
    async with pool:
        return await purge(pool, personal)
