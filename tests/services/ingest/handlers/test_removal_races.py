"""What happens when several take items back at once, and what a real log can hold of it."""

import asyncio

from contracts.ingest import EVENTS, IngestEvent, RemovalRecorded
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import Pool
from services.ingest.domain import identity
from services.ingest.domain.removal import LONGEST_REASON
from services.ingest.domain.scan import LIMITS
from services.ingest.handlers.removal import Removed, remove_from_box, remove_listed
from tests.services.ingest.taking_back import (
    BOX,
    DEMO,
    events_of,
    ids,
    looking_at,
    order,
    removed_ids,
    scanned,
)
from tests.services.ingest.told import a_scan


def real(pool: Pool) -> list[EventStore[IngestEvent]]:
    """Two processes on one log."""
    return [EventStore[IngestEvent](PostgresLog(pool), Codec(EVENTS)) for _ in range(2)]


async def test_of_parallel_removals_of_one_item_one_succeeds(pool: Pool) -> None:
    stores = real(pool)
    await scanned(stores[0], a_scan(1))

    done = await asyncio.gather(
        *(
            remove_from_box(stores[n % 2], looking_at(1), **BOX, order=order(), cause=DEMO)
            for n in range(20)
        )
    )

    assert sum(one is not None for one in done) == 1
    assert await removed_ids(stores[0]) == [1]
    assert len(await events_of(stores[0], RemovalRecorded)) == 1


async def test_parallel_removals_of_equal_units_take_one_each(pool: Pool) -> None:
    stores, units = real(pool), range(1, 9)
    await scanned(stores[0], *(a_scan(n) for n in units))

    done = await asyncio.gather(
        *(
            remove_from_box(stores[n % 2], looking_at(*units), **BOX, order=order(), cause=DEMO)
            for n in range(12)
        )
    )

    gone = [scan_id.int for one in done if one for scan_id in one.audit.removed]
    assert sorted(gone) == [*units]
    assert await removed_ids(stores[0]) == [*units]


async def test_parallel_removals_of_overlapping_lists_share_the_items(pool: Pool) -> None:
    stores = real(pool)
    await scanned(stores[0], *(a_scan(n) for n in range(40)))

    done = await asyncio.gather(
        *(
            remove_listed(stores[n % 2], ids(*range(n, n + 30)), order=order(), cause=DEMO)
            for n in range(10)
        )
    )

    gone = [scan_id.int for one in done if one for scan_id in one.audit.removed]
    assert sorted(gone) == await removed_ids(stores[0]) == [*range(39)]


async def test_the_same_order_twice_at_once_has_one_result(pool: Pool) -> None:
    stores = real(pool)
    await scanned(stores[0], *(a_scan(n) for n in range(4)))

    async def remove(n: int) -> Removed | None:
        keyed = order(key="k")
        return await remove_from_box(
            stores[n % 2], looking_at(*range(4)), **BOX, order=keyed, cause=DEMO
        )

    done = await asyncio.gather(*(remove(n) for n in range(8)))

    assert len({one and one.audit.removed for one in done}) == 1
    assert len(await removed_ids(stores[0])) == 1


async def test_the_longest_removal_fits_into_the_log(pool: Pool) -> None:
    store, _ = real(pool)
    fields = ("kind", "operator", "client", "city", "box", "code", "source", "details")
    longest = {name: "\x01" * LIMITS["type" if name == "kind" else name] for name in fields}
    scans = [a_scan(1, **longest | {"kind": "ITEM"}), *(a_scan(n) for n in range(2, 1001))]
    await scanned(store, *scans)

    told = order(operator="\x01" * LIMITS["operator"], reason="\x01" * LONGEST_REASON)
    done = await remove_listed(store, [scan.scan_id for scan in scans], order=told, cause=DEMO)

    assert done
    assert len(done.audit.removed) == 1000
    namespace = identity.namespace("demo")
    found = await store.log.find([identity.item_removal(namespace, scans[0].scan_id)])
    assert len(found) == 1
