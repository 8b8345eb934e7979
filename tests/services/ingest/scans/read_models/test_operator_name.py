"""However an operator's name is spelled, it is one operator, shown as first written."""

import unicodedata
from datetime import timedelta
from importlib import import_module
from random import Random
from typing import Any
from uuid import uuid5

import pytest

from contracts.envelope import Envelope
from contracts.ingest import IngestEvent
from libs.eventsourcing.store import Fact
from libs.postgres.pool import Pool
from libs.testing.read_models import clear, rows_of
from services.ingest.dashboard.read_models import activity, box, presence
from services.ingest.removals.read_models import removal
from services.ingest.scans.domain import identity
from services.ingest.scans.read_models import operator_name, scan_log
from tests.services.ingest.history import (
    DEMO,
    NOON,
    NOON_MS,
    TABLES,
    a_scan,
    append,
    event,
    fill,
    in_envelope,
    project,
    removed,
    uuid,
)
from tests.services.ingest.service import BOXES, CSV, DELETIONS, RAW, STATE, Service

FIRST = unicodedata.normalize("NFD", "Андрей  Ким")
"""Whoever wrote it first had a keyboard of another kind, and hit the space bar twice."""
SPELLINGS = (FIRST, "Андрей Ким", "Андрей Ким ", "\tАндрей\xa0Ким")
OTHERS = ("андрей ким", "АндрейКим")
MERGING = import_module("services.ingest.migrations.versions.0009_operator_name")
COUNTING = import_module("services.ingest.migrations.versions.0011_scan_count")
COUNTED = [table for table in TABLES if table != "quarantine"]
SYSTEM_WIDE = "SELECT set_config('tillstream.tenant', '*', false)"


async def all_spellings(ingest: Service) -> None:
    """One item in each spelling, the first written one arriving last, and one of each other."""
    late = [event(n, operator=one) for n, one in enumerate(SPELLINGS[1:] + OTHERS, 2)]
    await ingest.send(*late[:2])
    await ingest.send(*late[2:])
    first = a_scan(1, operator=FIRST, received_at=NOON - timedelta(hours=1))
    await append(ingest.store, first)


async def shown(ingest: Service, **asked: str) -> dict[str, Any]:
    """The operators that each answer shows."""
    state, boxes = await ingest.get(STATE, **asked), await ingest.get(BOXES, **asked)
    items = [one for c in boxes["clients"] for city in c["cities"] for one in city["boxes"]]
    logs = (await ingest.get(RAW, **asked))["logs"]
    csv = (await ingest.viewer.get(CSV, params=asked)).content.decode("utf-8-sig")
    return {
        "operators": {one["operator"]: one["itemsToday"] for one in state["operators"]},
        "list": set(state["operatorsList"]),
        "feed": {row["operator"] for row in state["feed"]},
        "boxes": {name for one in items for name in one["operators"]},
        "items": {item["operator"] for one in items for item in one["items"]},
        "raw": {row["operator"] for row in logs},
        "csv": {line.split(";")[3] for line in csv.splitlines()[1:]},
    }


async def test_all_spellings_are_one_operator_everywhere(ingest: Service) -> None:
    await all_spellings(ingest)

    found = await shown(ingest)

    everybody = {FIRST, *OTHERS}
    assert found.pop("operators") == {FIRST: 4} | dict.fromkeys(OTHERS, 1)
    assert found == dict.fromkeys(found, everybody)


@pytest.mark.parametrize("asked", [*SPELLINGS, " Андрей Ким\n"], ids=ascii)
async def test_a_filter_finds_the_operator_in_whatever_spelling(
    ingest: Service, asked: str
) -> None:
    await all_spellings(ingest)

    found = await shown(ingest, operator=asked)

    assert found.pop("operators") == {FIRST: 4}
    assert set(map(frozenset, found.values())) == {frozenset({FIRST})}


async def test_blanks_are_no_name(ingest: Service) -> None:
    await ingest.send(event(1, operator="   "), event(2, operator=""), event(3))

    found = await shown(ingest, operator=" ")

    assert found["operators"] == {"—": 2}
    assert found["raw"] == {""}


async def test_who_removed_is_one_person_too(ingest: Service) -> None:
    await ingest.send(*(event(n) for n in range(1, 4)))
    for n, spelling in enumerate(("Вера  Я", "Вера Я", "Вера Я "), 1):
        ingest.clock.advance(seconds=1)
        await ingest.remove(uuid(n), operator=spelling)

    deletions = (await ingest.get(DELETIONS, operator="Вера Я"))["deletions"]

    assert [one["deleted_by"] for one in deletions] == ["Вера  Я"] * 3


async def test_of_one_batch_the_spelling_scanned_first_is_shown(ingest: Service) -> None:
    await ingest.send(
        event(1, ts=NOON_MS, operator="Анна"), event(2, ts=NOON_MS - 1, operator="Анна ")
    )

    assert (await shown(ingest))["operators"] == {"Анна ": 2}


async def test_what_was_stored_under_each_spelling_is_known_of_the_past(ingest: Service) -> None:
    """Scans had a stream of their own for each spelling, and are there for ever."""
    namespace = identity.namespace("demo")
    moments = [NOON - timedelta(days=2), NOON - timedelta(hours=1)]
    for n, (spelling, moment) in enumerate(zip(("Вера", " Вера"), moments, strict=True), 1):
        scan = a_scan(n, operator=spelling, scanned_at=moment, received_at=moment)
        fact: Fact[IngestEvent] = Fact(
            event_id=identity.scan_event(namespace, scan.scan_id),
            stream=f"scan-{uuid5(namespace, f'operator {spelling}')}",
            event=scan,
            occurred_at=moment,
        )
        ingest.clock.now = moment
        await ingest.store.record([fact], metadata=DEMO)
    ingest.clock.now = NOON
    await ingest.send(event(3, operator="Вера  "))

    asked = {"date": "2025-10-29", "as_of": (NOON - timedelta(minutes=1)).isoformat()}
    (past,) = (await ingest.get(STATE, **asked))["operators"]

    assert (past["operator"], past["lastSeenMs"]) == ("Вера", NOON_MS - 3_600_000)


def spelled_scans(random: Random, length: int) -> list[Envelope[IngestEvent]]:
    """Scans of two operators in many spellings, with ties; some items are removed."""
    names = [*SPELLINGS, "anna", "anna ", "", " "]
    history: list[IngestEvent] = []
    for number in range(length):
        scan = a_scan(
            number,
            kind=random.choice(["ITEM", "ITEM", "BOX", "CLOSE", "ERROR"]),
            operator=random.choice(names),
            box=f"ivancov/{random.randrange(3)}",
            scanned_at=NOON + timedelta(hours=random.randrange(-20, 20)),
            received_at=NOON + timedelta(seconds=random.randrange(3)),
        )
        history.append(scan)
        if scan.kind == "ITEM" and not random.randrange(3):
            history.append(removed(scan, removed_by=random.choice(names)))
    return [in_envelope(one) for one in history]


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_counted_already_comes_together(
    pool: Pool, database: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """As if all of it had been projected by today's rules."""
    history = spelled_scans(Random(seed), 150)
    await project(pool, history)
    expected = await rows_of(pool, COUNTED, except_columns=("changed",))

    await clear(pool, TABLES)
    with monkeypatch.context() as before:
        for module in (activity, box, operator_name, presence, removal, scan_log):
            before.setattr(module, "comparable", str)
        await project(pool, history)
    assert await rows_of(pool, COUNTED, except_columns=("changed",)) != expected
    merging = (MERGING.COMPARABLE, MERGING.FILL, *MERGING.MERGE, MERGING.GONE)
    counting = ("DELETE FROM scan_count", COUNTING.FILL)
    await fill(database, SYSTEM_WIDE, "DELETE FROM operator_name", *merging, *counting)

    assert await rows_of(pool, COUNTED, except_columns=("changed",)) == expected
