"""What happens when somebody takes items back."""

from datetime import timedelta
from uuid import UUID

import pytest

from contracts.ingest import IngestEvent, RemovalRecorded, ScanId
from libs.errors import Unavailable
from libs.eventsourcing.log import Cause
from libs.eventsourcing.store import EventStore
from services.ingest.handlers.removal import (
    EventUnknown,
    NotAnItem,
    remove_event,
    remove_from_box,
    remove_listed,
)
from services.ingest.handlers.scan import verify
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
from tests.services.ingest.told import NOON, a_scan


async def test_listed_items_are_removed_once_and_the_rest_is_left_alone(
    store: EventStore[IngestEvent],
) -> None:
    await scanned(store, a_scan(1), a_scan(2), a_scan(3, kind="BOX"))

    first = await remove_listed(store, ids(1, 1, 3, 77), order=order(), cause=DEMO)
    again = await remove_listed(store, ids(1, 3, 77), order=order(), cause=DEMO)

    assert first
    assert first.audit.removed == tuple(ids(1))
    assert again is None
    assert await removed_ids(store) == [1]
    assert await events_of(store, RemovalRecorded) == [first.audit]


async def test_an_empty_list_removes_nothing(store: EventStore[IngestEvent]) -> None:
    assert await remove_listed(store, [], order=order(), cause=DEMO) is None


async def test_a_removed_item_sent_again_is_known_and_stays_removed(
    store: EventStore[IngestEvent],
) -> None:
    await scanned(store, a_scan(1))
    await remove_listed(store, ids(1), order=order(), cause=DEMO)

    assert await scanned(store, a_scan(1)) == 0
    spelled = str(UUID(int=1))
    assert await verify(store, "demo", [spelled]) == [spelled]
    assert await remove_listed(store, ids(1), order=order(), cause=DEMO) is None


async def test_equal_barcodes_are_separate_units(store: EventStore[IngestEvent]) -> None:
    await scanned(store, *(a_scan(n, scanned_at=NOON + timedelta(minutes=n)) for n in (1, 2, 3)))

    gone = []
    while done := await remove_from_box(
        store, looking_at(1, 2, 3), **BOX, order=order(kind="REMOVE"), cause=DEMO
    ):
        gone += [scan_id.int for scan_id in done.audit.removed]

    assert gone == [3, 2, 1]


async def test_candidates_that_do_not_fit_are_not_removed(store: EventStore[IngestEvent]) -> None:
    await scanned(store, a_scan(1, code="777"), a_scan(2, box="petrov/8"), a_scan(3, kind="ERROR"))

    look = looking_at(1, 2, 3, 4)
    assert await remove_from_box(store, look, **BOX, order=order(), cause=DEMO) is None
    assert await removed_ids(store) == []


async def test_no_item_among_incomplete_candidates_is_no_answer(
    store: EventStore[IngestEvent],
) -> None:
    await scanned(store, a_scan(1))
    await remove_listed(store, ids(1), order=order(), cause=DEMO)

    look = looking_at(1, complete=False)
    with pytest.raises(Unavailable):
        await remove_from_box(store, look, **BOX, order=order(), cause=DEMO)


async def test_an_event_is_removed_by_its_id_and_that_is_safe_to_repeat(
    store: EventStore[IngestEvent],
) -> None:
    await scanned(store, a_scan(1))
    (one,) = ids(1)

    first = await remove_event(store, one, order=order(kind="REMOVE"), cause=DEMO)

    assert first
    assert (first.audit.kind, first.audit.code) == ("REMOVE", "2042469234860")
    assert await remove_event(store, one, order=order(kind="REMOVE"), cause=DEMO) is None


async def test_only_items_can_be_removed_by_id_and_only_known_ones(
    store: EventStore[IngestEvent],
) -> None:
    await scanned(store, a_scan(1), a_scan(2, kind="CLOSE"))
    done = await remove_listed(store, ids(1), order=order(), cause=DEMO)
    assert done

    for unknown in (*ids(77), None):
        with pytest.raises(EventUnknown):
            await remove_event(store, unknown, order=order(), cause=DEMO)
    for unfit in (*ids(2), ScanId(done.audit.removal_id)):
        with pytest.raises(NotAnItem):
            await remove_event(store, unfit, order=order(), cause=DEMO)
    assert (
        await remove_listed(store, [ScanId(done.audit.removal_id)], order=order(), cause=DEMO)
        is None
    )


async def test_another_tenant_removes_nothing(store: EventStore[IngestEvent]) -> None:
    await scanned(store, a_scan(1))
    other, (one,) = Cause(tenant="other"), ids(1)

    assert await remove_listed(store, [one], order=order(), cause=other) is None
    assert await remove_from_box(store, looking_at(1), **BOX, order=order(), cause=other) is None
    with pytest.raises(EventUnknown):
        await remove_event(store, one, order=order(), cause=other)
    assert await removed_ids(store) == []


async def test_a_repeated_order_with_a_key_answers_the_first_result(
    store: EventStore[IngestEvent],
) -> None:
    await scanned(store, a_scan(1), a_scan(2), a_scan(3))

    first = await remove_listed(store, ids(1, 2), order=order(key="k"), cause=DEMO)
    again = await remove_listed(store, ids(1, 2), order=order(key="k"), cause=DEMO)
    other = await remove_listed(store, ids(1, 2, 3), order=order(key="l"), cause=DEMO)

    assert first == again
    assert other
    assert other.audit.removed == tuple(ids(3))


async def test_a_key_is_its_tenants_own(store: EventStore[IngestEvent]) -> None:
    await scanned(store, a_scan(1))
    await remove_listed(store, ids(1), order=order(key="k"), cause=DEMO)

    other = Cause(tenant="other")
    assert await remove_listed(store, ids(1), order=order(key="k"), cause=other) is None


async def test_the_removal_of_an_item_stands_in_the_stream_of_its_scan(
    store: EventStore[IngestEvent],
) -> None:
    await scanned(store, a_scan(1))
    await remove_listed(store, ids(1), order=order(), cause=DEMO)

    found = [one async for page in store.log.read_all() for one in page]
    streams = {one.type: one.stream for one in found}
    assert streams["ItemRemoved"] == streams["ScanRecorded"]
    assert streams["RemovalRecorded"].startswith("removal-")
    assert {one.cause.actor for one in found} == {"viewer"}
