"""What holds for every read model: history alone decides what is in the tables (SCL-15, SCL-18).

Each stream comes in its order, but streams come in any order to each other, and are cut into
batches anywhere.
"""

from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from contracts.scale_bridge import DeviceChanged, DeviceProfiled, VerificationDue
from libs.postgres.pool import Pool
from libs.testing.read_models import (
    Events,
    apply,
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_isolated,
    rows_of,
)
from services.scale_bridge.devices.read_models import device
from services.scale_bridge.devices.read_models.device import DEVICE
from services.scale_bridge.monitoring.read_models import display_history
from services.scale_bridge.monitoring.read_models.display_history import (
    DISPLAYED,
    DISPLAYED_LAST,
    READING,
)
from services.scale_bridge.monitoring.read_models.drift import DESIRED
from services.scale_bridge.operations import read_models as operation
from services.scale_bridge.operations.read_models import OPERATION
from services.scale_bridge.prices.read_models import price_delivery
from services.scale_bridge.prices.read_models.price_delivery import PRICE_DELIVERY
from services.scale_bridge.schedules.read_models import schedule
from services.scale_bridge.schedules.read_models.schedule import SCHEDULE
from tests.services.scale_bridge.histories import (
    NOON,
    History,
    catalogue,
    every_projection,
    product,
    project,
    store_content,
)

DECLARED = (
    DEVICE,
    OPERATION,
    SCHEDULE,
    DISPLAYED,
    DISPLAYED_LAST,
    READING,
    DESIRED,
    PRICE_DELIVERY,
)
TABLES = [table.name for table in DECLARED]
BESIDE = ("catalogue_copy", "work", "device_name", "last_shown", "inbox")
"""Tables with rows of tenants that are no read models."""

SCALES = range(1, 5)


async def a_history(pool: Pool, random: Random, length: int = 80) -> Events:
    """Of two tenants, whose scales are described, read, edited, dated, moved, scheduled, worked
    on, and some removed."""
    events: list[Any] = []
    for tenant in ("demo", "other"):
        history, runs = History(tenant), dict[int, int]()
        contents = [
            await store_content(pool, catalogue(*(product(n) for n in numbers)), tenant)
            for numbers in ((1, 2, 3), (2, 3, 4), (5,))
        ]
        for number in SCALES:
            history.registered(number)
            history.fetched(1, random.choice(contents), of=number)
        for number in range(2, length):
            of = random.choice(SCALES)
            match random.randrange(6):
                case 0 | 1:
                    _desired(history, random, of, number, contents)
                case 2 | 3:
                    _observed(history, random, of, number)
                case 4:
                    _described(history, random, of, number)
                case _:
                    _scheduled(history, random, of, number, runs)
        history.removed(SCALES[-1])
        events += history.events
    return events


def _described(history: History, random: Random, of: int, number: int) -> None:
    day = NOON.date() + timedelta(days=random.randrange(40))
    address: dict[str, Any] = {"ip": "10.0.0.9", "port": 1111, "protocol": "TCP"}
    address["bridge"] = random.choice([None, UUID(int=3)])
    match random.randrange(3):
        case 0:
            history.add(DeviceChanged, of=of, name=f"name {number}", **address)
        case 1:
            verified = random.choice([None, day])
            history.add(DeviceProfiled, of=of, shop=f"shop {number}", next_verification=verified)
        case _:
            history.add(VerificationDue, of=of, due_on=day, days=random.choice([30, 7, 0]))


def _desired(history: History, random: Random, of: int, revision: int, contents: list[str]) -> None:
    plu, number = random.randrange(1, 4), random.randrange(4)
    match random.randrange(10):
        case 0 | 1:
            history.fetched(revision, random.choice(contents), of=of)
        case 2:
            price, day = random.choice([1.0, 2.5]), random.choice(["", "01-03-26"])
            history.edited(revision, random.randrange(1, 6), of=of, price=price, sellByDate=day)
        case 3:
            history.dated(revision, 1, 2, of=of, day=f"{random.randrange(1, 29):02}-03-26")
        case 4 | 5:
            price = random.random()
            history.price_taken(revision, plu, price, of=of, number=number, at=revision)
        case 6:
            history.price_overridden(revision, plu, of=of, number=number, at=revision)
            history.edited(revision, plu, of=of, pluNumber=100 + revision)
        case 7:
            history.confirmed(revision, of=of)
        case 8:
            history.doubted(revision, of=of)
        case _:
            history.invalidated(revision, of=of, at=random.randrange(200))


def _observed(history: History, random: Random, of: int, number: int) -> None:
    at = random.randrange(200)
    if random.randrange(3):
        prices = {str(plu): {"price": random.random()} for plu in random.sample(SCALES, 2)}
        history.read(at, prices, str(random.randrange(6, 8)), of=of, by=number)
        return
    history.queued(number, of=of)
    attempts = random.randrange(3)
    for attempt in range(attempts):
        history.begun(number, of=of, attempt=attempt + 1)
    if random.randrange(2):
        history.applied(number, at=at, of=of)
    if random.randrange(5):
        outcome = random.choice(["verified", "unknown", "failed"])
        history.ended(number, "upload", outcome, at=at, of=of, attempts=attempts)


def _scheduled(
    history: History, random: Random, of: int, number: int, runs: dict[int, int]
) -> None:
    if random.randrange(2):
        times = random.choice([(), ("08:00",), ("07:30", "20:00")])
        history.schedule_set(of=of, enabled=random.random() < 0.7, due=number, times=times)
    elif random.randrange(3) == 0:
        history.schedule_skipped(of=of, due=number, runs=random.randrange(1, 9))
    elif of in runs:
        history.schedule_ran(runs.pop(of), of=of, error=random.choice([None, "Беда."]))
    else:
        runs[of] = number
        history.schedule_claimed(number, of=of, due=number)


@pytest.mark.parametrize(
    ("models", "lanes"),
    [([schedule, display_history, price_delivery], 3), ([device, operation], 1)],
    ids=["what scales shall and do show", "scales and operations"],
)
async def test_batches_and_order_of_arrival_do_not_matter(
    pool: Pool, models: list[Any], lanes: int
) -> None:
    """Nor do lanes of streams that are projected side by side disturb each other."""
    projections = [model.projection() for model in models]
    tables = [table for one in projections for table in one.tables]

    async def apply_batch(events: Events) -> None:
        await apply(pool, "scale_bridge", projections, events)

    histories = [await a_history(pool, Random(seed)) for seed in range(10)]
    await assert_history_decides(pool, apply_batch, histories, tables, partitions=lanes)


async def test_what_was_projected_before_changes_nothing(pool: Pool) -> None:
    """Of scales and operations."""
    events = await a_history(pool, Random(3))
    models = [device.projection(), operation.projection()]
    await apply(pool, "scale_bridge", models, events)
    before = await rows_of(pool, ("device", "operation"))

    await apply(pool, "scale_bridge", models, events)

    assert await rows_of(pool, ("device", "operation")) == before


async def test_another_tenant_sees_nothing(reading_pool: Pool, pool: Pool) -> None:
    await project(pool, await a_history(pool, Random(2)))

    await assert_tenants_are_isolated(reading_pool, [*TABLES, "content"])
    fences = "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = $1::regclass"
    assert [await pool.fetchval(fences, table) for table in BESIDE] == [True] * len(BESIDE)


async def test_the_tables_are_as_the_migrations_made_them(pool: Pool) -> None:
    assert {*TABLES} == {table for one in every_projection() for table in one.tables}
    await assert_migrated_as_declared(pool, "scale_bridge", DECLARED)
