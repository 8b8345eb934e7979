"""The rows of the board: status, reason, profile and next verification of every scale (SCL-12,
SCL-14, SCL-16); and the next action of recovery (SCL-9, SCL-15)."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from operator import methodcaller as step
from typing import Any

import pytest

from contracts.scale_bridge import DeviceProfiled, VerificationDue
from libs.postgres.pool import Pool
from services.scale_bridge.devices.read_models import device as devices
from services.scale_bridge.monitoring.domain import State, device_status
from services.scale_bridge.monitoring.read_models import board
from services.scale_bridge.monitoring.read_models.board import BoardRow
from services.scale_bridge.monitoring.read_models.drift import counts
from services.scale_bridge.schedules.domain.recovery import RecoveryRules, next_action
from services.scale_bridge.schedules.read_models import health
from services.scale_bridge.schedules.read_models.health import IdleDevice
from services.scale_bridge.transfer.domain.kinds import Kind
from tests.services.scale_bridge.histories import (
    OWNER,
    History,
    catalogue,
    device_id,
    minute,
    product,
)

BASE = catalogue(product(1), product(2))
DUE = date(2026, 6, 1)


async def rows(pool: Pool, tenant: str = "demo") -> list[BoardRow]:
    async with pool.acquire() as connection:
        found = await board.rows(connection, tenant, owner=OWNER)
        pending = await counts(connection, tenant, [r.device_id for r in found if r.facts.valid])
    return [
        replace(row, facts=replace(row.facts, pending=pending.get(row.device_id, 0)))
        for row in found
    ]


async def only(pool: Pool, history: History) -> BoardRow:
    """The row of the only scale, after the new events are applied."""
    await history.project(pool)
    (row,) = await rows(pool)
    return row


def failed(number: int, *code: str, kind: str = "upload", detail: str = "") -> Any:
    return step("done", number, kind, "failed", *code, at=number, detail=detail)


CASES: dict[str, tuple[list[Any], State, str, tuple[int, int | None, int]]] = {
    "all is shown": ([], State.OK, "", (1, 1, 0)),
    "edited": ([step("edited", 2, 1, price=1.5)], State.DIRTY, "", (2, 1, 1)),
    "dead, and not tried since": (
        [failed(5, "Timeout", detail="Молчат."), failed(6, "CircuitOpen", detail="Нет")],
        *(State.UNREACHABLE, "Молчат.", (1, 1, 0)),
    ),
    "forgot without power": (
        [failed(5, "NotShown", kind="verify", detail="показывают не то"), step("doubted", 1, by=5)],
        *(State.DIRTY, "показывают не то", (1, None, 0)),
    ),
    "wrong password": ([failed(5, "WrongPassword")], State.WRONG_PASSWORD, "", (1, 1, 0)),
    "at another address": ([step("invalidated", 2, at=5)], State.UNKNOWN, "", (2, 1, 0)),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_synced_scale_has_a_status_and_a_reason(pool: Pool, case: str) -> None:
    """The last exchange is the last completed one (SCL-12)."""
    happened, state, reason, revisions = CASES[case]
    history = History()
    await history.synced(pool, BASE)

    facts = (await only(pool, history.happened(*happened))).facts

    assert device_status(facts).state is state
    assert reason in device_status(facts).reason
    assert (facts.revision, facts.confirmed, facts.pending) == revisions
    assert facts.last_exchange == minute(0)


async def test_owners_see_their_scales_by_number(pool: Pool) -> None:
    history = History()
    await history.synced(pool, BASE, of=2, name="Б")
    await history.synced(pool, BASE, of=1, name="А")
    history.registered(3)
    history.removed(3)
    await history.project(pool)

    assert [(row.number, row.name, row.device_id) for row in await rows(pool)] == [
        (1, "А", device_id(1)),
        (2, "Б", device_id(2)),
    ]
    assert await rows(pool, "other") == []


def describe(history: History, *, of: int = 1, shop: str = "A", due: date | None = DUE) -> None:
    history.add(DeviceProfiled, of=of, shop=shop, group="cheese", next_verification=due)


def remind(history: History, days: int, *, of: int = 1) -> None:
    history.add(VerificationDue, of=of, due_on=DUE, days=days)


async def due(pool: Pool, left: int, *, limit: int = 9) -> list[int]:
    """The numbers of scales with a reminder so many days before."""
    async with pool.acquire() as connection:
        found = await devices.due(connection, DUE - timedelta(days=left), limit=limit)
    numbers = {device_id(number): number for number in range(1, 9)}
    return sorted(numbers[one.device_id] for one in found)


async def test_scales_that_are_due_and_have_no_reminder_are_listed(pool: Pool) -> None:
    history = History()
    for number in (1, 2, 3, 4):
        history.registered(number)
        describe(history, of=number, due=DUE if number < 4 else None)
    remind(history, 30, of=2)
    remind(history, 0, of=3)
    await history.project(pool)

    left = {days: await due(pool, days) for days in (31, 30, 8, 7, -50)}

    assert left == {31: [], 30: [1], 8: [1], 7: [1, 2], -50: [1, 2]}
    assert len(await due(pool, 0, limit=1)) == 1


async def test_another_day_starts_anew_and_a_removed_scale_has_no_reminder(pool: Pool) -> None:
    history = History()
    for number in (1, 2):
        history.registered(number)
        describe(history, of=number)
        remind(history, 0, of=number)
    describe(history, due=DUE + timedelta(days=3))
    history.removed(2)
    await history.project(pool)

    assert await due(pool, 28) == []
    assert await due(pool, 27) == await due(pool, -4) == [1]


async def test_a_profile_may_arrive_before_its_device(pool: Pool) -> None:
    history = History()
    describe(history)
    await history.project(pool)
    assert await due(pool, 0) == []
    history.registered()
    await history.project(pool)

    assert await due(pool, 0) == [1]


LATER = minute(30)


async def patients(pool: Pool, now: datetime = LATER) -> list[IdleDevice]:
    async with pool.acquire() as connection:
        return list(await health.idle_devices(connection, now))


async def a_history(pool: Pool, *steps: Any) -> History:
    """A scale that shows its catalogue, and later events."""
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
        pytest.param([], 120, Kind.VERIFY, id="shows what it shall for long"),
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
async def test_the_next_action_of_a_scale(
    pool: Pool, steps: list[Any], after: float, remedied: Kind | None
) -> None:
    await (await a_history(pool, *steps)).project(pool)

    (patient,) = await patients(pool, minute(after))

    assert next_action(patient.health, minute(after), RecoveryRules()) is remedied


async def test_a_removed_scale_or_one_with_a_running_operation_is_not_recovered(pool: Pool) -> None:
    history = await a_history(pool, step("queued", 2, at=29))
    await history.project(pool)
    assert await patients(pool) == []
    assert len(await patients(pool, minute(60))) == 1

    history.removed()
    await history.project(pool)
    assert await patients(pool, minute(60)) == []


async def test_failures_are_counted_since_the_scale_last_showed_its_catalogue(pool: Pool) -> None:
    history = await a_history(pool, EDITED)
    for number in range(2, 6):
        history.done(number, "upload", "failed", "NotShown", at=number)
    history.done(9, "upload", "failed", "Busy", at=7)
    await history.project(pool)
    (patient,) = await patients(pool)
    assert (patient.health.failures, patient.health.ended_at) == (4, minute(7))
    assert (patient.ip, patient.port, patient.tenant) == ("10.0.0.17", 1111, "demo")
