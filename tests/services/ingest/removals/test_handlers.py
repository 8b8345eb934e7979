"""Removals of items, also parallel ones and in a real log."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from contracts.ingest import ItemRemoved, RemovalRecorded, ScanId
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import new_event_id
from services.ingest.removals.domain import LONGEST_REASON, RemoveItems
from services.ingest.removals.handlers import removal
from services.ingest.removals.handlers.removal import Items
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import LIMITS
from tests.services.ingest.history import DEMO, NOON, Store, a_scan, append, events_in

OTHER = Metadata(tenant="other")
remove_listed = partial(removal.remove_listed, metadata=DEMO)
remove_from_box = partial(
    removal.remove_from_box, box="ivancov/8", code="2042469234860", metadata=DEMO
)


def request(**changes: Any) -> RemoveItems:
    """The command of a request, by default with an id of its own."""
    fields: dict[str, Any] = {"kind": "BULK_REMOVE", "operator": "vera", "reason": "", "at": NOON}
    return RemoveItems(**{"removal_id": new_event_id()} | fields | changes)


def ids(*numbers: int) -> list[ScanId]:
    return [ScanId(UUID(int=number)) for number in numbers]


def pages(*pages: Iterable[int]) -> Items:
    async def read() -> AsyncIterator[list[ScanId]]:
        for numbers in pages:
            yield ids(*numbers)

    return read


async def removed_ids(store: Store) -> list[int]:
    return sorted(event.scan.scan_id.int for event in await events_in(store, ItemRemoved))


async def test_removed_items_are_skipped_to_the_next_page(store: Store) -> None:
    await append(store, *(a_scan(n, scanned_at=NOON + timedelta(minutes=n)) for n in (1, 2, 3)))

    removed = []
    while done := await remove_from_box(store, pages((3, 2), (1,)), command=request(kind="REMOVE")):
        removed += [scan_id.int for scan_id in done.audit.removed]

    assert removed == [3, 2, 1]


async def test_a_repeated_request_gets_the_first_result(store: Store) -> None:
    await append(store, a_scan(1), a_scan(2), a_scan(3))
    same = request()

    first, again = [await remove_listed(store, ids(1, 2), command=same) for _ in range(2)]
    other = await remove_listed(store, ids(1, 2, 3), command=request())

    assert first == again
    assert other
    assert other.audit.removed == tuple(ids(3))
    assert await remove_listed(store, ids(1), command=request(), metadata=OTHER) is None


async def test_the_removal_of_an_item_is_in_the_stream_of_its_scan(store: Store) -> None:
    await append(store, a_scan(1))
    await remove_listed(store, ids(1), command=request())

    recorded = [one async for page in store.log.read_all() for one in page]
    streams = {one.type: one.stream for one in recorded}
    assert streams["ItemRemoved"] == streams["ScanRecorded"]
    assert streams["RemovalRecorded"].startswith("removal-")
    assert {one.metadata.actor for one in recorded} == {"viewer"}


@pytest.mark.parametrize(("count", "orders"), [(1, 20), (8, 12)])
async def test_parallel_removals_of_equal_items_remove_one_each(
    stores: list[Store], count: int, orders: int
) -> None:
    units = range(1, count + 1)
    await append(stores[0], *(a_scan(n) for n in units))

    done = await asyncio.gather(
        *(remove_from_box(stores[n % 2], pages(units), command=request()) for n in range(orders))
    )

    removed = [scan_id.int for one in done if one for scan_id in one.audit.removed]
    assert sorted(removed) == await removed_ids(stores[0]) == [*units]
    assert len(await events_in(stores[0], RemovalRecorded)) == count


async def test_parallel_removals_of_overlapping_lists_share_the_items(stores: list[Store]) -> None:
    await append(stores[0], *(a_scan(n) for n in range(40)))

    done = await asyncio.gather(
        *(
            remove_listed(stores[n % 2], ids(*range(n, n + 30)), command=request())
            for n in range(10)
        )
    )

    removed = [scan_id.int for one in done if one for scan_id in one.audit.removed]
    assert sorted(removed) == await removed_ids(stores[0]) == [*range(39)]


async def test_two_parallel_repeats_of_a_request_have_one_result(stores: list[Store]) -> None:
    await append(stores[0], *(a_scan(n) for n in range(4)))
    same = request()

    done = await asyncio.gather(
        *(remove_from_box(stores[n % 2], pages(range(4)), command=same) for n in range(8))
    )

    assert len({one and one.audit.removed for one in done}) == 1
    assert len(await removed_ids(stores[0])) == 1


async def test_the_longest_removal_fits_into_the_log(stores: list[Store]) -> None:
    store = stores[0]
    fields = ("kind", "operator", "client", "city", "box", "code", "source", "details")
    longest = {name: "\x01" * LIMITS["type" if name == "kind" else name] for name in fields}
    scans = [a_scan(1, **longest | {"kind": "ITEM"}), *(a_scan(n) for n in range(2, 1001))]
    await append(store, *scans)

    long_order = request(operator="\x01" * LIMITS["operator"], reason="\x01" * LONGEST_REASON)
    done = await remove_listed(store, [scan.scan_id for scan in scans], command=long_order)

    assert done
    assert len(done.audit.removed) == 1000
    namespace = identity.namespace("demo")
    first = identity.scan_event(namespace, scans[0].scan_id)
    recorded = await store.log.find([identity.removal_of(first)])
    assert len(recorded) == 1
