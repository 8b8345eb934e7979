"""Decisions about quarantined events, also parallel ones."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.ingest import (
    QuarantineDropped,
    QuarantineMended,
    ScanQuarantined,
    ScanRecorded,
)
from libs.eventsourcing.log import Metadata
from services.ingest.quarantine.domain import AlreadyDecided
from services.ingest.quarantine.handlers.correction import Correction
from services.ingest.quarantine.handlers.quarantine import Mended, QuarantineCommands
from services.ingest.scans.domain.scan import RAW_LIMIT
from services.ingest.scans.handlers.scan import verify
from tests.services.ingest.history import (
    FLOOR,
    NOON,
    Store,
    event,
    events_in,
    quarantine_id,
    send,
    uuid,
)

OFFICE = Metadata(tenant="demo", actor="office")
LATER = NOON + timedelta(days=3)
OLD = NOON - timedelta(days=365 * 15)
OLD_MS = int(OLD.timestamp() * 1000)


def id_of(number: int, tenant: str = "demo") -> UUID:
    """The id in quarantine of `event(number)`."""
    return quarantine_id(UUID(uuid(number)), tenant)


def patch(**changes: Any) -> Correction:
    return Correction(changes, is_patch=True)


def commands(store: Store, not_before: datetime = FLOOR) -> QuarantineCommands:
    return QuarantineCommands(store=store, metadata=OFFICE, now=LATER, not_before=not_before)


async def mend(store: Store, number: int, correction: Correction) -> Mended:
    return await commands(store).mend(id_of(number), correction)


async def drop(store: Store, one: UUID) -> str:
    return await commands(store).drop(one, "a test")


async def codes(store: Store) -> list[str]:
    return [scan.code for scan in await events_in(store, ScanRecorded)]


async def test_an_event_whose_scan_was_sent_meanwhile_is_a_duplicate(store: Store) -> None:
    await send(store, event(1, code=7))
    await send(store, event(1, code="7", operator="boris"))

    done = await mend(store, 1, patch(code="7"))

    (scan,) = await events_in(store, ScanRecorded)
    assert done.duplicate
    assert scan.operator == "boris"
    assert len(await events_in(store, QuarantineMended)) == 1


async def test_a_mended_event_that_is_sent_again_is_skipped(store: Store) -> None:
    await send(store, event(1, code=7))
    await mend(store, 1, patch(code="7"))

    right = await send(store, event(1, code="7"))
    wrong = await send(store, event(1, code=7))

    assert (right.inserted, len(right.duplicates)) == (0, 1)
    assert len(wrong.errors) == 1
    assert len(await events_in(store, ScanQuarantined)) == 1


async def test_many_events_are_replayed_independently(store: Store) -> None:
    old, wrong = [event(n, ts=OLD_MS) for n in (1, 3, 4)], event(2, ts=OLD_MS, code=7)
    await send(store, *old, wrong)
    await send(store, event(5, ts=OLD_MS, details="x" * RAW_LIMIT))
    await drop(store, id_of(3))
    await send(store, event(4))
    ids = [id_of(n) for n in (1, 2, 3, 4, 5)]

    results = await commands(store, not_before=OLD).replay_each(ids)

    outcomes = ("mended", "duplicates", "still_wrong", "cut_short", "already_decided")
    assert results == dict.fromkeys(outcomes, 1)


async def test_an_event_without_a_readable_id_gets_the_id_of_its_correction(
    store: Store,
) -> None:
    await send(store, event(1, uuid="x"))
    (recorded,) = [one async for page in store.log.read_all() for one in page]

    await commands(store).mend(recorded.event_id, patch(uuid=uuid(1)))

    assert await verify(store, "demo", [uuid(1)]) == [uuid(1)]


async def test_one_of_many_parallel_decisions_wins_and_nothing_else_is_stored(
    stores: list[Store],
) -> None:
    store = stores[0]
    await send(store, event(1, code=7))

    async def attempt(n: int) -> object:
        try:
            if n % 3 == 0:
                return await drop(store, id_of(1))
            return await mend(store, 1, patch(code=str(n)))
        except AlreadyDecided as late:
            return late

    outcomes = await asyncio.gather(*(attempt(n) for n in range(30)))

    decisions = await events_in(store, QuarantineMended, QuarantineDropped)
    assert len([one for one in outcomes if not isinstance(one, AlreadyDecided)]) == 1
    assert len(decisions) == 1
    assert len(await codes(store)) == isinstance(decisions[0], QuarantineMended)
    assert {o.decision for o in outcomes if isinstance(o, AlreadyDecided)} == set(decisions)


async def test_mending_while_the_device_sends_the_same_scan_stores_it_once(
    stores: list[Store],
) -> None:
    store, numbers = stores[0], range(1, 21)
    await send(store, *(event(n, code=7) for n in numbers))

    sending = [asyncio.create_task(send(store, event(n, code="7"))) for n in numbers]
    done = await asyncio.gather(*(mend(store, n, patch(code="7")) for n in numbers))
    await asyncio.gather(*sending)

    assert {str(one.scan_id) for one in done} == {uuid(n) for n in numbers}
    assert len(await codes(store)) == 20
    assert len(await events_in(store, QuarantineMended)) == 20
