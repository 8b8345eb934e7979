"""A whole day against a gateway that fails, and against gateways that lie."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from deploy.demo.day import Address, Day, Manner, Verdict
from deploy.demo.plan import Plan, plan_day
from libs.testing.polling import PATIENCE_SECONDS
from tests.deploy.demo.fake import KEY, ZONE, Faults, Store, serving

MANNER = Manner(speed=30_000, patience=PATIENCE_SECONDS, lag=PATIENCE_SECONDS)
"""Of a day that agrees in the end, however slow the machine."""
HASTY = Manner(speed=30_000, patience=PATIENCE_SECONDS, lag=0.5)
"""Of a day that cannot agree: longer would be waited in vain."""
TWO_HOURS = 2 * 3600.0


def short_plan(seed: int = 3, *, ends_at: datetime | None = None) -> Plan:
    ends_at = ends_at or datetime.now(UTC).replace(microsecond=0)
    return plan_day(seed, ends_at=ends_at, operators=8, seconds=TWO_HOURS)


async def played(
    store: Store, plan: Plan, *, event: list[str] | None = None, manner: Manner = MANNER
) -> Verdict:
    tell = (event if event is not None else []).append
    async with serving(store) as url:
        return await Day(plan, Address(url=url, key=KEY), manner, tell=tell).run()


def disagreeing(verdict: Verdict) -> list[str]:
    return [line.what for line in verdict.lines if not line.agrees]


async def test_a_day_agrees_although_requests_fail_before_and_after_the_commit() -> None:
    store, plan = Store(faults=Faults(failing=0.05), rng=Random(5)), short_plan()
    event: list[str] = []
    slower = Manner(speed=3000, patience=PATIENCE_SECONDS, lag=PATIENCE_SECONDS)

    verdict = await played(store, plan, event=event, manner=slower)

    assert disagreeing(verdict) == []
    assert verdict.agrees
    assert verdict.figures.acknowledged == sum(1 for _ in plan.events()) > 500
    assert store.repeats > 0
    assert store.largest == 20
    assert verdict.outages > 0
    assert any("keep trying" in line for line in event)
    assert len(verdict.lines) > 40
    assert verdict.troubles["answers lost"] >= 8
    assert verdict.troubles["batches posted twice at once"] >= 8
    assert verdict.troubles["whole days re-sent"] == 2
    assert verdict.troubles["times without network"] >= 1


async def test_a_second_day_agrees_on_top_of_the_first() -> None:
    store, now = Store(), datetime.now(UTC).replace(microsecond=0)

    first = await played(store, short_plan(ends_at=now - timedelta(minutes=1)))
    second = await played(store, short_plan(ends_at=now))

    assert first.agrees
    assert second.agrees
    assert len(store.rows) > second.figures.planned_events


async def test_a_day_that_crosses_midnight_agrees_day_by_day() -> None:
    yesterday = (datetime.now(ZONE) - timedelta(days=1)).replace(hour=1, minute=0, microsecond=0)

    verdict = await played(Store(), short_plan(ends_at=yesterday))

    assert disagreeing(verdict) == []
    days = [line.sent for line in verdict.lines if line.what.startswith("day ")]
    assert sum(1 for sums in days if not str(sums).startswith("items 0")) >= 2


async def test_the_same_day_again_adds_nothing_and_disagrees() -> None:
    store, plan = Store(), short_plan()
    await played(store, plan)

    again = await played(store, plan, manner=HASTY)

    assert not again.agrees
    assert "everything" in disagreeing(again)


@pytest.mark.parametrize(
    ("faults", "found"),
    [
        (Faults(loses=True), "all rows"),
        (Faults(doubles=True), "all rows"),
        (Faults(garbles=True), "rows word for word"),
        (Faults(miscounts=True), "answers: wrong counts"),
        (Faults(shuffles=True), "boxes as the device left them"),
    ],
    ids=["loses one", "doubles one", "garbles one", "miscounts", "shuffles"],
)
async def test_wrong_responses_of_a_gateway_are_noticed(faults: Faults, found: str) -> None:
    verdict = await played(Store(faults=faults), short_plan(), manner=HASTY)

    assert not verdict.agrees
    assert any(what.endswith(found) for what in disagreeing(verdict))
