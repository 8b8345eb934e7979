"""Which scales need a remedy, and which (SCL-9, SCL-15)."""

from datetime import datetime
from operator import methodcaller as step
from typing import Any

import pytest

from libs.postgres.pool import Pool
from services.scale_bridge.domain.healing import Rules, remedy
from services.scale_bridge.domain.operation_commands import Kind
from services.scale_bridge.read_models import health
from services.scale_bridge.read_models.health import Patient
from tests.services.scale_bridge.histories import History, catalogue, minute, product

BASE = catalogue(product(1), product(2))
LATER = minute(30)


async def patients(pool: Pool, now: datetime = LATER) -> list[Patient]:
    async with pool.acquire() as connection:
        return list(await health.quiet(connection, now))


async def a_history(pool: Pool, *steps: Any) -> History:
    """A scale that shows what it shall, and what happened since."""
    history = History()
    await history.synced(pool, BASE)
    return history.happened(*steps)


EDITED, PRICED = [step("edited", 2, 1, price=1.5, source=by) for by in ("person", "price")]
MISSED = [EDITED, step("done", 2, "upload", "failed", "Unreachable", at=5)]
BACK = step("done", 3, "probe", "done", at=10, by="heal")
SENT = [step("done", 4, "upload", "verified", at=12, by="heal"), step("confirmed", 2)]
DRIFTED = [step("done", 2, "verify", "failed", "NotShown", at=5), step("doubted", 1, by=2)]
SILENT = step("done", 2, "probe", "failed", "Unreachable", at=5, by="heal")


@pytest.mark.parametrize(
    ("steps", "after", "remedied"),
    [
        pytest.param([], 30, None, id="shows what it shall"),
        pytest.param([], 180, Kind.VERIFY, id="shows what it shall for long"),
        # SCL-9: first it is asked whether it is back, then it gets all it missed at once.
        pytest.param(MISSED, 30, Kind.PROBE, id="an upload failed"),
        pytest.param([*MISSED, BACK], 30, Kind.UPLOAD, id="it is back"),
        pytest.param([*MISSED, BACK, *SENT], 30, None, id="it has what it missed"),
        # An edit waits for its person; a price's own upload may have begun just before it.
        pytest.param([EDITED], 30, None, id="an unsent edit"),
        pytest.param([PRICED], 30, Kind.UPLOAD, id="an unsent price"),
        # SCL-15.
        pytest.param(DRIFTED, 30, Kind.UPLOAD, id="a verify found it changed"),
        pytest.param([SILENT, BACK], 30, Kind.VERIFY, id="it was without power"),
    ],
)
async def test_what_a_scale_needs(
    pool: Pool, steps: list[Any], after: float, remedied: Kind | None
) -> None:
    await (await a_history(pool, *steps)).project(pool)

    (patient,) = await patients(pool, minute(after))

    assert remedy(patient.health, minute(after), Rules()) is remedied


async def test_a_scale_with_an_operation_under_way_or_removed_is_left_alone(pool: Pool) -> None:
    history = await a_history(pool, step("queued", 2, at=29))
    await history.project(pool)
    assert await patients(pool) == []
    assert len(await patients(pool, minute(60))) == 1

    history.removed()
    await history.project(pool)
    assert await patients(pool, minute(60)) == []


async def test_failures_count_since_it_last_showed_what_it_shall(pool: Pool) -> None:
    history = await a_history(pool, EDITED)
    for number in range(2, 6):
        history.done(number, "upload", "failed", "NotShown", at=number)
    history.done(9, "upload", "failed", "Busy", at=7)
    await history.project(pool)
    (patient,) = await patients(pool)
    assert (patient.health.failures, patient.health.ended_at) == (4, minute(7))
    assert (patient.ip, patient.port, patient.tenant) == ("10.0.0.17", 1111, "demo")
