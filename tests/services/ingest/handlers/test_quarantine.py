"""What happens when somebody looks after quarantined events."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.ingest import (
    IngestEvent,
    QuarantineDropped,
    QuarantineMended,
    ScanId,
    ScanQuarantined,
    ScanRecorded,
)
from libs.eventsourcing.log import Cause
from libs.eventsourcing.store import EventStore
from services.ingest.domain import identity
from services.ingest.domain.quarantine import AlreadyDecided, CutShort, NotInQuarantine, StillWrong
from services.ingest.domain.scan import RAW_LIMIT
from services.ingest.handlers import quarantine
from services.ingest.handlers.correction import Correction, read_correction
from services.ingest.handlers.scan import verify
from tests.services.ingest.handlers.test_scan import FLOOR, event, send
from tests.services.ingest.told import NOON

OFFICE = Cause(tenant="demo", actor="office")
LATER = NOON + timedelta(days=3)
GIVEN: dict[str, Any] = {"cause": OFFICE, "now": LATER, "not_before": FLOOR}
Store = EventStore[IngestEvent]


def id_of(number: int, tenant: str = "demo") -> UUID:
    """Where the event `event(number)` is in quarantine, if it is."""
    scan_id = ScanId(UUID(int=number, version=4))
    return identity.quarantine_event(identity.namespace(tenant), scan_id)


def patch(**changes: Any) -> Correction:
    return Correction(changes, is_patch=True)


async def all_of(store: Store, kind: type[Any]) -> list[Any]:
    events = [store.decode(one) async for page in store.log.read_all() for one in page]
    return [one for one in events if isinstance(one, kind)]


async def mend(store: Store, number: int, correction: Correction) -> quarantine.Mended:
    return await quarantine.mend(store, id_of(number), correction, **GIVEN)


async def test_a_corrected_event_is_a_scan_and_the_quarantine_knows(store: Store) -> None:
    await send(store, event(1, code=7))

    done = await mend(store, 1, patch(code="7"))

    (scan,) = await all_of(store, ScanRecorded)
    (mended,) = await all_of(store, QuarantineMended)
    assert (scan.code, scan.received_at, str(scan.scan_id)) == ("7", NOON, event(1)["uuid"])
    assert mended == QuarantineMended(
        quarantine_id=id_of(1), scan_id=scan.scan_id, mended_by="office", mended_at=LATER
    )
    assert (done.scan_id, done.duplicate) == (scan.scan_id, False)


async def test_the_whole_event_may_be_given_instead_of_a_patch(store: Store) -> None:
    await send(store, event(1, code=7))

    correction = read_correction(json.dumps(event(1, code="8")).encode())
    await mend(store, 1, correction)

    assert [scan.code for scan in await all_of(store, ScanRecorded)] == ["8"]


async def test_what_is_still_wrong_changes_nothing(store: Store) -> None:
    await send(store, event(1, code=7))

    with pytest.raises(StillWrong) as refused:
        await mend(store, 1, patch(code=8, operator="x" * 101))

    assert refused.value.fault.code == "bad_text"
    assert set(refused.value.wrong) == {"code", "operator"}
    assert len([one async for page in store.log.read_all() for one in page]) == 1


async def test_a_scan_that_was_sent_again_meanwhile_is_only_marked(store: Store) -> None:
    await send(store, event(1, code=7))
    await send(store, event(1, code="7", operator="boris"))

    done = await mend(store, 1, patch(code="7"))

    (scan,) = await all_of(store, ScanRecorded)
    assert done.duplicate
    assert scan.operator == "boris"
    assert len(await all_of(store, QuarantineMended)) == 1


async def test_a_mended_event_that_is_sent_again_is_known(store: Store) -> None:
    await send(store, event(1, code=7))
    await mend(store, 1, patch(code="7"))

    right = await send(store, event(1, code="7"))
    wrong = await send(store, event(1, code=7))

    assert (right.inserted, len(right.duplicates)) == (0, 1)
    assert len(wrong.errors) == 1
    assert len(await all_of(store, ScanQuarantined)) == 1


async def test_a_second_decision_is_told_the_first(store: Store) -> None:
    await send(store, event(1, code=7))
    await quarantine.drop(store, id_of(1), reason="a test", cause=OFFICE, now=LATER)

    for correction in (patch(code="7"), patch(code=8)):
        with pytest.raises(AlreadyDecided) as refused:
            await mend(store, 1, correction)
        assert isinstance(refused.value.decision, QuarantineDropped)

    with pytest.raises(AlreadyDecided):
        await quarantine.drop(store, id_of(1), reason="a test", cause=OFFICE, now=LATER)
    assert await all_of(store, ScanRecorded) == []


async def test_an_event_is_tried_again_unchanged_when_the_rules_have_changed(store: Store) -> None:
    old = NOON - timedelta(days=365 * 15)
    await send(store, event(1, ts=int(old.timestamp() * 1000)))

    with pytest.raises(StillWrong):
        await quarantine.replay(store, id_of(1), **GIVEN)
    await quarantine.replay(store, id_of(1), **GIVEN | {"not_before": old})

    (scan,) = await all_of(store, ScanRecorded)
    assert scan.scanned_at == old


async def test_many_are_tried_again_each_for_itself(store: Store) -> None:
    old = NOON - timedelta(days=365 * 15)
    ts = int(old.timestamp() * 1000)
    long = event(5, ts=ts, details="x" * RAW_LIMIT)
    await send(store, event(1, ts=ts), event(2, ts=ts, code=7), event(3, ts=ts), event(4, ts=ts))
    await send(store, long)
    await quarantine.drop(store, id_of(3), reason="a test", cause=OFFICE, now=LATER)
    await send(store, event(4))
    ids = [id_of(n) for n in (1, 2, 3, 4, 5)]

    became = await quarantine.replay_each(store, ids, **GIVEN | {"not_before": old})

    assert became == {
        "mended": 1,
        "duplicates": 1,
        "still_wrong": 1,
        "cut_short": 1,
        "already_decided": 1,
    }


async def test_what_was_cut_can_only_be_corrected_as_a_whole(store: Store) -> None:
    await send(store, event(1, details="x" * RAW_LIMIT))

    with pytest.raises(CutShort):
        await quarantine.replay(store, id_of(1), **GIVEN)
    with pytest.raises(CutShort):
        await mend(store, 1, patch(details=""))
    await mend(store, 1, Correction(event(1, details="short"), is_patch=False))

    assert [scan.details for scan in await all_of(store, ScanRecorded)] == ["short"]


async def test_another_tenants_event_is_in_no_quarantine(store: Store) -> None:
    await send(store, event(1, code=7), tenant="other")
    theirs = id_of(1, "other")

    with pytest.raises(NotInQuarantine):
        await quarantine.mend(store, theirs, patch(code="7"), **GIVEN)
    with pytest.raises(NotInQuarantine):
        await quarantine.drop(store, theirs, reason="x", cause=OFFICE, now=LATER)
    with pytest.raises(NotInQuarantine):
        await quarantine.inspect(store, theirs, tenant="demo", not_before=FLOOR)


async def test_a_scan_is_in_no_quarantine(store: Store) -> None:
    await send(store, event(1))
    scan = identity.scan_event(identity.namespace("demo"), ScanId(UUID(int=1, version=4)))

    with pytest.raises(NotInQuarantine):
        await quarantine.drop(store, scan, reason="x", cause=OFFICE, now=LATER)


async def test_whatever_is_decided_a_device_hears_that_its_event_has_arrived(store: Store) -> None:
    await send(store, event(1, code=7), event(2, code=7), event(3, code=7))
    await mend(store, 1, patch(code="7"))
    await quarantine.drop(store, id_of(2), reason="a test", cause=OFFICE, now=LATER)
    uuids = [event(n)["uuid"] for n in (1, 2, 3)]

    assert await verify(store, "demo", [*uuids, event(4)["uuid"]]) == uuids


async def test_an_event_without_a_readable_id_is_known_by_the_one_it_was_given(
    store: Store,
) -> None:
    await send(store, event(1, uuid="x"))
    (kept,) = [one async for page in store.log.read_all() for one in page]

    await quarantine.mend(store, kept.event_id, patch(uuid=event(1)["uuid"]), **GIVEN)

    assert await verify(store, "demo", [event(1)["uuid"]]) == [event(1)["uuid"]]


async def test_an_event_is_inspected_from_the_log(store: Store) -> None:
    await send(store, event(1, code=7, box=[]))
    await quarantine.drop(store, id_of(1), reason="a test", cause=OFFICE, now=LATER)

    found = await quarantine.inspect(store, id_of(1), tenant="demo", not_before=FLOOR)

    assert found.value == event(1, code=7, box=[])
    assert set(found.wrong) == {"code", "box"}
    assert found.fault is not None
    assert isinstance(found.decision, QuarantineDropped)
