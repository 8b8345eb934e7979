"""The table of tasks depends on the history alone."""

from functools import partial
from random import Random
from uuid import UUID

from contracts.envelope import Envelope
from contracts.shop import ShopEvent
from libs.errors import Refused
from libs.postgres.pool import Pool
from libs.testing.read_models import (
    apply,
    assert_history_decides,
    assert_migrated_as_declared,
    assert_tenants_are_isolated,
)
from services.shop.production import read_models
from services.shop.production.domain.decisions import TASK, CancelTask, EditTask, TaskCommand
from services.shop.production.domain.task import Task
from tests.services.shop.production.tasks import BY, NOON, assign, check, complete, create, start

PROJECTIONS = (read_models.projection(),)
TABLES = ("task",)
STEPS: tuple[TaskCommand, ...] = (
    *(assign(), start(), complete(), check(is_approved=True), check(is_approved=False)),
    CancelTask(by=BY, now=NOON),
    EditTask(changes={"priority": "urgent", "deadline": NOON}, by=BY, now=NOON),
)


def history(random: Random) -> list[Envelope[ShopEvent]]:
    """Tasks of two shops, moved at random."""
    envelopes: list[Envelope[ShopEvent]] = []
    for number in range(1, 12):
        task, version = Task(), 0
        for command in (create(task_id=number), *random.choices(STEPS, k=20)):
            try:
                events = TASK.decide(task, command)
            except Refused:
                continue
            for event in events:
                task, version = TASK.evolve(task, event), version + 1
                envelopes.append(
                    Envelope(
                        event_id=UUID(int=len(envelopes)),
                        tenant=f"shop-{number % 2}",
                        stream=TASK.stream(number),
                        version=version,
                        occurred_at=NOON,
                        recorded_at=NOON,
                        correlation_id=None,
                        causation_id=None,
                        actor=BY,
                        traceparent=None,
                        event=event,
                    )
                )
    return envelopes


async def test_the_history_alone_decides_the_table(pool: Pool) -> None:
    histories = [history(Random(seed)) for seed in range(4)]

    await assert_history_decides(pool, partial(apply, pool, "shop", PROJECTIONS), histories, TABLES)


async def test_shops_do_not_see_each_others_tasks(pool: Pool, reading_pool: Pool) -> None:
    await apply(pool, "shop", PROJECTIONS, history(Random(1)))

    await assert_tenants_are_isolated(reading_pool, TABLES)


async def test_the_table_is_as_declared(pool: Pool) -> None:
    await assert_migrated_as_declared(pool, "shop", (read_models.TASK,))
