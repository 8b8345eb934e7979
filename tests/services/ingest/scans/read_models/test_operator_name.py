"""All spellings of a name are one operator, displayed as first received."""

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


async def displayed_names(ingest: Service, **params: str) -> dict[str, Any]:
    """The operators that each answer shows."""
    state, boxes = await ingest.get(STATE, **params), await ingest.get(BOXES, **params)
    items = [one for c in boxes["clients"] for city in c["cities"] for one in city["boxes"]]
    logs = (await ingest.get(RAW, **params))["logs"]
    csv = (await ingest.viewer.get(CSV, params=params)).content.decode("utf-8-sig")
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

    names = await displayed_names(ingest)

    everyone = {FIRST, *OTHERS}
    assert names.pop("operators") == {FIRST: 4} | dict.fromkeys(OTHERS, 1)
    assert names == dict.fromkeys(names, everyone)


@pytest.mark.parametrize("spelling", [*SPELLINGS, " Андрей Ким\n"], ids=ascii)
async def test_a_filter_finds_the_operator_in_whatever_spelling(
    ingest: Service, spelling: str
) -> None:
    await all_spellings(ingest)

    names = await displayed_names(ingest, operator=spelling)

    assert names.pop("operators") == {FIRST: 4}
    assert set(map(frozenset, names.values())) == {frozenset({FIRST})}


async def test_a_name_of_blanks_is_empty(ingest: Service) -> None:
    await ingest.send(event(1, operator="   "), event(2, operator=""), event(3))

    names = await displayed_names(ingest, operator=" ")

    assert names["operators"] == {"—": 2}
    assert names["raw"] == {""}


async def test_spellings_of_who_removed_are_one_operator(ingest: Service) -> None:
    await ingest.send(*(event(n) for n in range(1, 4)))
    for n, spelling in enumerate(("Вера  Я", "Вера Я", "Вера Я "), 1):
        ingest.clock.advance(seconds=1)
        await ingest.remove(uuid(n), operator=spelling)

    deletions = (await ingest.get(DELETIONS, operator="Вера Я"))["deletions"]

    assert [one["deleted_by"] for one in deletions] == ["Вера  Я"] * 3


async def test_in_one_batch_the_spelling_scanned_first_is_displayed(ingest: Service) -> None:
    await ingest.send(
        event(1, ts=NOON_MS, operator="Анна"), event(2, ts=NOON_MS - 1, operator="Анна ")
    )

    assert (await displayed_names(ingest))["operators"] == {"Анна ": 2}


async def test_older_streams_of_each_spelling_are_read_for_the_past(ingest: Service) -> None:
    """In older data every spelling has a stream of its own."""
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

    params = {"date": "2025-10-29", "as_of": (NOON - timedelta(minutes=1)).isoformat()}
    (past,) = (await ingest.get(STATE, **params))["operators"]

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
async def test_older_rows_of_each_spelling_are_merged_by_a_migration(
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
