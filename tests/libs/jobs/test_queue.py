"""A queue gives each job to one worker at a time, and to another one if that worker is gone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import pytest

from libs.clock import utc_now
from libs.jobs import queue as queues
from libs.jobs.queue import Backoff, Progress, Queue
from libs.postgres.pool import Pool, tenant_transaction
from tests.libs.jobs.bakery import LOAVES, Bakery, Loaf

HOUR: Final = timedelta(hours=1)
PROGRESS: Final = "SELECT moved, total FROM loaf ORDER BY number"


async def claim(queue: Queue[Loaf], *, limit: int = 100, holder: str = "anna") -> list[Loaf]:
    loaves = await queue.claim(holder, utc_now(), limit=limit)
    return sorted(loaves, key=lambda loaf: (loaf.tenant, loaf.number))


def numbers(loaves: Sequence[Loaf]) -> list[tuple[str, int]]:
    return sorted((loaf.tenant, loaf.number) for loaf in loaves)


async def test_a_job_is_claimed_by_one_holder_when_it_is_due(bakery: Bakery) -> None:
    queue, loaf = bakery.loaves(), Loaf(tenant="demo", number=1)
    later = Loaf(tenant="demo", number=2)
    await queue.put(loaf)
    await queue.put(later, utc_now() + HOUR)

    assert await claim(queue) == [loaf]
    assert await claim(queue, holder="boris") == []
    assert 0 < (await queue.seconds_until_due(utc_now()) or 0) <= 60


async def test_a_job_that_is_put_again_stays_as_it_is(bakery: Bakery) -> None:
    queue = bakery.loaves()
    for grain in ("rye", "wheat"):
        await queue.put(Loaf(tenant="demo", number=1, grain=grain))

    assert [loaf.grain for loaf in await claim(queue)] == ["rye"]


async def test_a_partition_has_jobs_of_its_own(bakery: Bakery) -> None:
    stone, steel = bakery.loaves("stone"), bakery.loaves("steel")
    await steel.put(Loaf(tenant="demo", number=1))

    assert await claim(stone) == []
    assert await stone.seconds_until_due(utc_now()) is None
    assert numbers(await claim(steel)) == [("demo", 1)]


async def test_a_claim_that_is_not_renewed_runs_out(bakery: Bakery) -> None:
    queue, longer = bakery.loaves(seconds=0.0), bakery.loaves()
    for number in (1, 2):
        await queue.put(Loaf(tenant="demo", number=number))
    assert len(await claim(queue)) == 2
    await longer.renew("anna", [("demo", 1)])
    await longer.renew("boris", [("demo", 2)])

    assert numbers(await claim(queue, holder="boris")) == [("demo", 2)]


async def test_a_released_job_is_free_and_one_that_is_put_off_is_later(bakery: Bakery) -> None:
    queue = bakery.loaves()
    for number in (1, 2):
        await queue.put(Loaf(tenant="demo", number=number))
    one, _ = await claim(queue)
    await queue.release("boris", one)
    assert await claim(queue, holder="boris") == []

    await queue.release("anna", one)
    await queue.later("demo", 2, seconds=3600)
    assert await claim(queue, holder="boris") == [one]
    await queue.done("demo", 1)
    assert 3500 < (await queue.seconds_until_due(utc_now()) or 0) <= 3600


async def test_overdue_jobs_of_all_partitions_are_claimed(bakery: Bakery) -> None:
    past = utc_now() - HOUR
    await bakery.loaves("stone").put(Loaf(tenant="demo", number=1, deadline_at=past), past + HOUR)
    await bakery.loaves("steel").put(Loaf(tenant="other", number=2, deadline_at=past))
    await bakery.loaves("steel").put(Loaf(tenant="other", number=3, deadline_at=past + 2 * HOUR))
    await bakery.loaves("steel").put(Loaf(tenant="other", number=4))

    overdue = await bakery.loaves().claim_overdue("anna", utc_now(), limit=10)

    assert numbers(overdue) == [("demo", 1), ("other", 2)]


async def test_a_long_queue_of_one_tenant_delays_no_other(bakery: Bakery) -> None:
    queue = bakery.loaves()
    for number in range(20):
        await queue.put(Loaf(tenant="busy", number=number), utc_now() - HOUR)
    for number in range(2):
        await queue.put(Loaf(tenant="small", number=number))

    first, second = await claim(queue, limit=4), await claim(queue, limit=4)

    assert numbers(first) == [("busy", 0), ("busy", 1), ("small", 0), ("small", 1)]
    assert numbers(second) == [("busy", number) for number in range(2, 6)]


async def test_a_tenant_with_fewer_claimed_jobs_comes_first(bakery: Bakery) -> None:
    queue = bakery.loaves()
    for number in range(10):
        await queue.put(Loaf(tenant="busy", number=number), utc_now() - HOUR)
    await claim(queue, limit=3)
    for number in range(10):
        await queue.put(Loaf(tenant="small", number=number))

    assert numbers(await claim(queue, limit=3)) == [("small", number) for number in range(3)]


async def test_a_failed_job_waits_twice_as_long_each_time_and_is_parked(bakery: Bakery) -> None:
    queue, retry = bakery.loaves(), Backoff(attempts=4, first=HOUR, longest=3 * HOUR)
    await queue.put(Loaf(tenant="demo", number=1))
    now, pauses = utc_now(), []
    for _ in range(4):
        [loaf] = await queue.claim("anna", now, limit=1)
        assert await queue.fail("boris", loaf, "not his", retry, now) is None
        parked = await queue.fail("anna", loaf, "burnt\0", retry, now)
        due = await queue.seconds_until_due(now)
        pauses.append((parked, None if due is None else round(due / 3600)))
        now += timedelta(seconds=due or 0)

    assert pauses == [(False, 1), (False, 2), (False, 3), (True, None)]
    assert await queues.list_parked(bakery.system, LOAVES) == [("demo", "1", "4", "burnt")]
    assert (await queue.backlog(now)).parked == 1


async def test_a_parked_job_can_be_retried_or_dropped(bakery: Bakery) -> None:
    queue, once, pool = bakery.loaves(), Backoff(attempts=1), bakery.system
    for number in (1, 2, 3):
        await queue.put(Loaf(tenant="demo", number=number))
    for loaf in (await claim(queue))[:2]:
        await queue.fail("anna", loaf, "burnt", once, utc_now())

    assert await queues.retry(pool, LOAVES, ("demo", "1"))
    assert await queues.drop(pool, LOAVES, ("demo", "2"))
    for action in (queues.retry, queues.drop):
        for other in ("1", "2", "3", "x"):
            assert not await action(pool, LOAVES, ("demo", other))
    assert numbers(await claim(queue)) == [("demo", 1)]
    assert await pool.fetchval("SELECT count(*) FROM loaf") == 2


async def test_the_backlog_counts_due_claimed_and_parked_jobs(bakery: Bakery) -> None:
    queue, now = bakery.loaves(), utc_now()
    assert await queue.backlog(now) == queues.Backlog(
        queued=0, oldest_seconds=0, claimed=0, parked=0
    )
    for number, hours in enumerate((-3, -2, -1, 1)):
        await queue.put(Loaf(tenant="demo", number=number), now + hours * HOUR)
    await bakery.loaves("steel").put(Loaf(tenant="demo", number=9))
    await claim(queue, limit=1)

    assert await queue.backlog(now) == queues.Backlog(
        queued=2, oldest_seconds=7200, claimed=1, parked=0
    )


async def test_only_the_holder_of_a_claim_reports_progress(bakery: Bakery) -> None:
    queue = bakery.loaves()
    for number in (1, 2):
        await queue.put(Loaf(tenant="demo", number=number))
    await claim(queue)
    await queue.save_progress("boris", {("demo", 1): Progress(5, 5)})
    await queue.save_progress("anna", {("demo", 1): Progress(1, None), ("demo", 2): Progress(2, 3)})

    assert [tuple(row) for row in await bakery.system.fetch(PROGRESS)] == [(1, None), (2, 3)]


@pytest.mark.parametrize("tenant", ["demo", "other"])
async def test_a_job_is_put_in_the_transaction_of_its_tenant(
    bakery: Bakery, tenants: Pool, tenant: str
) -> None:
    async with tenant_transaction(tenants, "demo") as connection:
        await bakery.loaves().put(Loaf(tenant="demo", number=1), source=connection)
    async with tenant_transaction(tenants, tenant) as connection:
        seen = await connection.fetchval("SELECT count(*) FROM loaf")

    assert seen == (tenant == "demo")
