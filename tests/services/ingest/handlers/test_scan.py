"""What happens when a device sends a batch, and when it asks what has arrived."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from contracts.ingest import ScanRecorded
from services.ingest.handlers.body import BadRequest
from services.ingest.handlers.scan import Recorded
from tests.services.ingest.handlers.sending import send
from tests.services.ingest.history import NOON, NOON_MS, Store, event, events_in, uuid

LATER = NOON + timedelta(hours=1)


def counts(recorded: Recorded) -> tuple[int, int, int]:
    return recorded.inserted, len(recorded.duplicates), len(recorded.errors)


async def codes(store: Store) -> set[str]:
    return {scan.code for scan in await events_in(store, ScanRecorded)}


async def test_within_a_batch_the_first_of_a_uuid_wins(store: Store) -> None:
    recorded = await send(store, event(1), event(1), event(1, code="other"))

    assert counts(recorded) == (1, 2, 0)
    assert await codes(store) == {"1"}


async def test_a_bad_event_sent_again_is_an_error_again_but_kept_once(store: Store) -> None:
    bad = [event(1, ts=0), event(2, uuid="nonsense"), event(3, uuid=..., code="\0"), 7, "\ud800"]
    await send(store, *bad)

    again = await send(store, *reversed(bad))

    assert counts(again) == (0, 0, 5)
    assert len(await events_in(store)) == 5


async def test_an_event_without_uuid_is_stored_once_however_often_it_is_sent(
    store: Store,
) -> None:
    nameless = event(1, uuid=...)
    await send(store, nameless)

    again = await send(store, nameless, nameless, at=LATER)

    assert counts(again) == (0, 2, 0)
    assert len(await events_in(store)) == 1


async def test_an_id_sent_with_other_content_keeps_the_first_and_is_logged(store: Store) -> None:
    ahead = event(3, ts=NOON_MS + 600_000)
    await send(store, event(1), ahead)

    with capture_logs() as logs:
        recorded = await send(store, event(1, code="other"), event(2), event(2, code="other"))
        await send(store, ahead, ahead, at=LATER)  # the same content: no conflict

    assert counts(recorded) == (1, 2, 0)
    assert [entry["scan_id"] for entry in logs] == [uuid(1), uuid(2)]
    assert await codes(store) == {"1", "2", "3"}


async def test_tenants_may_use_the_same_ids(store: Store) -> None:
    await send(store, event(1), event(2, ts=0))

    other = await send(store, event(1), event(2, ts=0), tenant="other")

    assert counts(other) == (1, 0, 1)
    assert len(await events_in(store)) == 4


@pytest.mark.parametrize("depth", [*range(880, 1000, 10), 5000])
async def test_nesting_is_quarantined_or_refused_but_never_a_crash(
    store: Store, depth: int
) -> None:
    body = b'{"events":[{"ts":' + b"[" * depth + b"]" * depth + b"}]}"
    try:
        recorded = await send(store, body=body)
    except BadRequest:
        assert await events_in(store) == []
    else:
        assert counts(recorded) == (0, 0, 1)


async def test_an_endless_bad_event_is_kept_as_far_as_kafka_can_carry(store: Store) -> None:
    await send(store, event(1, details="я" * 3_000_000))

    (recorded,) = [one async for page in store.log.read_all() for one in page]
    assert len(recorded.data) < 900_000


async def test_parallel_identical_batches_count_every_scan_once(stores: list[Store]) -> None:
    events = [event(n) for n in range(20)]

    answers = await asyncio.gather(*(send(stores[n % 2], *events) for n in range(24)))

    assert sum(answer.inserted for answer in answers) == 20
    assert all(counts(answer)[:2] == (a := answer.inserted, 20 - a) for answer in answers)


async def test_what_a_device_can_send_a_real_log_can_hold(stores: list[Store]) -> None:
    awkward = [
        event(1, code="\\u0000 \u2028 😀 '; DROP TABLE events; --"),
        event(2, code="\0"),
        event(3, code="\ud800"),
        event(4, ts=253_402_300_799_999),
        event(5, details="x" * 65_536),
        {"\0": "\udfff"},
    ]

    assert counts(await send(stores[0], *awkward)) == (3, 0, 3)
    assert len(await events_in(stores[0], ScanRecorded)) == 3
