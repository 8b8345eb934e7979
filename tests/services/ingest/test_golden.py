"""A morning of one operator gives exactly the numbers of §11, sent, imported or exported."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contracts.ingest import ScanRecorded
from tests.services.ingest.history import ZONE, Store, event, events_in, uuid
from tests.services.ingest.importing import Importer, file_with, numbers
from tests.services.ingest.service import BOXES, CSV, RAW, STATE, VERIFY, Service

MORNING = [
    ("08:00:00", "CITY", "Novosem", "", ""),
    ("08:01:00", "BOX", "ivancov/8", "ivancov/8", ""),
    ("08:02:05", "ITEM", "2042469234860", "ivancov/8", ""),
    ("08:03:05", "ITEM", "2042469234860", "ivancov/8", ""),
    ("08:10:00", "CLOSE", "ivancov/8", "ivancov/8", ""),
    ("08:11:00", "BOX", "ivancov/10", "ivancov/10", ""),
    ("08:12:05", "ITEM", "777", "ivancov/10", ""),
    ("09:12:00", "AUTO_CLOSE", "ivancov/10", "ivancov/10", ""),
    ("09:13:00", "ERROR", "NO_BOX", "", ""),
    ("09:14:00", "ERROR", "CYRILLIC_ERROR", "", "товар"),
    ("09:15:00", "CITY_CLOSE", "Novosem", "", ""),
]
DAY = "2025-10-31"

# As §2.9 has it on the wire: a mark, semicolons, CRLF, quotes doubled, barcodes as formulas. Here
# U stands for a uuid without its number, and R for the time of receipt and the source.
LINES = '''\
uuid;ts;type;operator;client;city;box;code;details;received_at;source
U01;31.10.2025 08:00:00;CITY;testscanner;;Novosem;;"=""Novosem""";;R
U02;31.10.2025 08:01:00;BOX;testscanner;ivancov;Novosem;ivancov/8;"=""ivancov/8""";;R
U03;31.10.2025 08:02:05;ITEM;testscanner;ivancov;Novosem;ivancov/8;"=""2042469234860""";;R
U04;31.10.2025 08:03:05;ITEM;testscanner;ivancov;Novosem;ivancov/8;"=""2042469234860""";;R
U05;31.10.2025 08:10:00;CLOSE;testscanner;ivancov;Novosem;ivancov/8;"=""ivancov/8""";;R
U06;31.10.2025 08:11:00;BOX;testscanner;ivancov;Novosem;ivancov/10;"=""ivancov/10""";;R
U07;31.10.2025 08:12:05;ITEM;testscanner;ivancov;Novosem;ivancov/10;"=""777""";;R
U08;31.10.2025 09:12:00;AUTO_CLOSE;testscanner;ivancov;Novosem;ivancov/10;"=""ivancov/10""";;R
U09;31.10.2025 09:13:00;ERROR;testscanner;;Novosem;;"=""NO_BOX""";;R
U0a;31.10.2025 09:14:00;ERROR;testscanner;;Novosem;;"=""CYRILLIC_ERROR""";товар;R
U0b;31.10.2025 09:15:00;CITY_CLOSE;testscanner;;Novosem;;"=""Novosem""";;R
'''
EXPORT = "\ufeff" + (
    LINES.replace("\nU", "\n00000000-0000-4000-8000-0000000000")
    .replace("R\n", "31.10.2025 09:15:30;pwa\n")
    .replace("\n", "\r\n")
)


def moment(day: str, clock: str, zone: ZoneInfo) -> datetime:
    return datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)


def the_morning(day: str, zone: ZoneInfo = ZONE) -> list[dict[str, Any]]:
    """The morning as a device sends it."""
    return [
        event(
            number,
            ts=int(moment(day, clock, zone).timestamp() * 1000),
            type=kind,
            operator="testscanner",
            client=box.partition("/")[0],
            box=box,
            code=code,
            details=details,
        )
        for number, (clock, kind, code, box, details) in enumerate(MORNING, 1)
    ]


async def assert_numbers_are_exact(ingest: Service, day: str) -> None:
    """The numbers of §11, for a sent or an imported morning."""
    state = await ingest.get(STATE, date=day)
    assert state["summary"] == {
        "items": 3,
        "opens": 2,
        "closes": 1,
        "errors": 2,
        "autoCloses": 1,
        "removed": 0,
    }
    counted = ("client", "items", "boxesOpen", "boxesClose", "errors")
    assert [tuple(one[name] for name in counted) for one in state["clients"]] == [
        ("ivancov", 3, 2, 1, 0),
        ("—", 0, 0, 0, 2),
    ]
    (operator,) = state["operators"]
    assert (operator["itemsToday"], operator["errorsToday"]) == (3, 2)
    assert (operator["lastCity"], operator["lastBox"], operator["online"]) == ("Novosem", "—", True)
    assert [row["type"] for row in state["feed"]] == [kind for _, kind, *_ in reversed(MORNING)]

    boxes = await ingest.get(BOXES, date=day)
    (client,) = boxes["clients"]
    (city,) = client["cities"]
    assert (client["client"], city["city"]) == ("ivancov", "Novosem")
    assert [(box["boxNo"], box["itemsCount"], box["status"]) for box in city["boxes"]] == [
        ("8", 2, "closed"),
        ("10", 1, "closed"),
    ]
    assert (boxes["totalBoxes"], boxes["totalItems"]) == (2, 3)

    errors = await ingest.get(RAW, date=day, type="ERROR")
    written = f"{day[8:]}.{day[5:7]}.{day[:4]}"
    assert errors["total"] == 2
    assert [row["ts"] for row in errors["logs"]] == [f"{written} 09:14:00", f"{written} 09:13:00"]
    assert errors["logs"][0]["details"] == "товар"


@pytest.mark.parametrize("day", [DAY, "2025-12-31", "2024-02-29", "2026-01-01"])
async def test_the_numbers_of_the_morning_are_exact(ingest: Service, day: str) -> None:
    ingest.clock.now = moment(day, "09:15:30", ZONE)
    events = the_morning(day)
    first = await ingest.send(*Random(1).sample(events, 11))
    ingest.clock.now += timedelta(seconds=10)
    second = await ingest.send(*Random(2).sample(events, 11))

    assert (first["inserted"], first["skipped"]) == (11, 0)
    assert (second["ok"], second["inserted"], second["skipped"]) == (True, 0, 11)
    assert set(second["duplicates"]) == {event["uuid"] for event in events}
    await assert_numbers_are_exact(ingest, day)


async def test_a_removed_item_stays_removed_when_the_morning_is_sent_again(
    ingest: Service,
) -> None:
    events = the_morning(DAY)
    ingest.clock.now = moment(DAY, "09:15:30", ZONE)
    await ingest.send(*events)
    (item, *_) = [event for event in events if event["type"] == "ITEM"]
    removed = await ingest.remove(item["uuid"])
    again = await ingest.send(*events)
    known = await ingest.device.post(VERIFY, json={"uuids": [item["uuid"]]})

    assert removed == {"ok": True, "message": "Удалено 1 товаров", "removed_count": 1}
    assert (again["inserted"], again["skipped"]) == (0, 11)
    assert known.json()["present"] == [item["uuid"]]
    state = await ingest.get(STATE, date=DAY)
    assert (state["summary"]["items"], state["summary"]["removed"]) == (2, 1)
    (city,) = (await ingest.get(BOXES, date=DAY))["clients"][0]["cities"]
    assert {box["boxNo"]: box["itemsCount"] for box in city["boxes"]} == {"8": 1, "10": 1}
    raw = await ingest.get(RAW, date=DAY)
    (audit,) = [row for row in raw["logs"] if row["type"] == "BULK_REMOVE"]
    assert (audit["client"], audit["city"], audit["box"]) == ("ivancov", "Novosem", "ivancov/8")
    assert item["uuid"] not in {row["uuid"] for row in raw["logs"]}
    assert raw["total"] == len(raw["logs"]) == 11


async def test_the_imported_morning_is_exact_and_exported_unchanged(
    ingest: Service, tmp_path: Path
) -> None:
    ingest.clock.now = moment(DAY, "09:15:40", ZONE)
    path = file_with(tmp_path / "scanner_logs_2025-10-31.csv", EXPORT.encode())

    importer = Importer(ingest.store, ingest.clock)
    results = [(await importer(path)).results[0] for _ in range(2)]

    assert [*map(numbers, results)] == [(11, 11, 0, 0), (11, 0, 11, 0)]
    await assert_numbers_are_exact(ingest, DAY)
    answer = await ingest.viewer.get(CSV, params={"date": DAY})
    assert answer.content.decode() == EXPORT


async def test_the_workbook_and_the_csv_have_the_same_rows(ingest: Service, tmp_path: Path) -> None:
    ingest.clock.now = moment(DAY, "09:15:30", ZONE)
    awkward = {
        "details": "=1+1; '=2",
        "code": '="42"',
        "city": "'=1",
        "box": "ivancov/-1",
        "operator": "+anna",
    }
    events = the_morning(DAY)
    await ingest.send(*events, events[2] | awkward | {"uuid": uuid(99)})

    for kind, name in (("csv", "a.csv"), ("excel", "a.xlsx")):
        answer = await ingest.viewer.get(f"/api/v1/export/{kind}", params={"date": DAY})
        empty = Store(type(ingest.store.log)(), ingest.store.codec)
        path = file_with(tmp_path / name, answer.content)
        (result,) = (await Importer(empty, ingest.clock)(path)).results

        assert numbers(result) == (12, 12, 0, 0)
        assert await scans_in(empty) == await scans_in(ingest.store)


async def scans_in(store: Store) -> set[ScanRecorded]:
    """Scans in no order; nothing and an empty text are the same details."""
    scans = await events_in(store, ScanRecorded)
    return {replace(scan, details=scan.details or "") for scan in scans}
