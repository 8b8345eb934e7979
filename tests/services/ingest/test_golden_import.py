"""The golden morning's export, imported into an empty system, gives the golden numbers (§11)."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from httpx import AsyncClient

from contracts.ingest import IngestEvent, ScanRecorded
from libs.eventsourcing.store import EventStore
from tests.services.ingest.importing import Importer, file_with, numbers, stored
from tests.services.ingest.test_golden import MORNING, moment, the_morning
from tests.services.ingest.told import ZONE, Clock, Projector

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
DAY = {"date": "2025-10-31"}


async def test_the_numbers_of_the_imported_morning_are_exact(
    store: EventStore[IngestEvent],
    viewer: AsyncClient,
    projector: Projector,
    clock: Clock,
    tmp_path: Path,
) -> None:
    clock.now = moment("2025-10-31", "09:15:40", ZONE)
    path = file_with(tmp_path / "scanner_logs_2025-10-31.csv", EXPORT.encode())

    accounts = [(await Importer(store, clock)(path)).accounts[0] for _ in range(2)]
    await projector.catch_up()

    assert [*map(numbers, accounts)] == [(11, 11, 0, 0), (11, 0, 11, 0)]
    state = (await viewer.get("/api/v1/dashboard/state", params=DAY)).json()
    summary = ("items", "opens", "closes", "errors", "autoCloses")
    assert [state["summary"][name] for name in summary] == [3, 2, 1, 2, 1]
    assert [
        (one["client"], one["items"], one["boxesOpen"], one["boxesClose"], one["errors"])
        for one in state["clients"]
    ] == [("ivancov", 3, 2, 1, 0), ("—", 0, 0, 0, 2)]
    (operator,) = state["operators"]
    assert (operator["itemsToday"], operator["errorsToday"]) == (3, 2)
    assert (operator["lastCity"], operator["lastBox"], operator["online"]) == ("Novosem", "—", True)
    assert [row["type"] for row in state["feed"]] == [kind for _, kind, *_ in reversed(MORNING)]

    (client,) = (await viewer.get("/api/v1/dashboard/boxes", params=DAY)).json()["clients"]
    (city,) = client["cities"]
    assert [(box["boxNo"], box["itemsCount"], box["status"]) for box in city["boxes"]] == [
        ("8", 2, "closed"),
        ("10", 1, "closed"),
    ]
    errors = await viewer.get("/api/v1/dashboard/raw", params=DAY | {"type": "ERROR"})
    assert errors.json()["total"] == 2
    assert [row["ts"] for row in errors.json()["logs"]] == [
        "31.10.2025 09:14:00",
        "31.10.2025 09:13:00",
    ]


async def test_the_imported_morning_is_exported_as_it_came(
    store: EventStore[IngestEvent], viewer: AsyncClient, projector: Projector, tmp_path: Path
) -> None:
    await Importer(store)(file_with(tmp_path / "morning.csv", EXPORT.encode()))
    await projector.catch_up()

    answer = await viewer.get("/api/v1/export/csv", params=DAY)

    assert answer.content.decode() == EXPORT


async def test_the_workbook_and_the_csv_tell_the_same(
    store: EventStore[IngestEvent],
    device: AsyncClient,
    viewer: AsyncClient,
    projector: Projector,
    clock: Clock,
    tmp_path: Path,
) -> None:
    clock.now = moment("2025-10-31", "09:15:30", ZONE)
    awkward = {"details": "=1+1; '=2", "code": '20"42', "box": "ivancov/-1", "operator": "+anna"}
    events = [*the_morning("2025-10-31"), the_morning("2025-10-31")[2] | awkward]
    events[-1]["uuid"] = str(UUID(int=99, version=4))
    await device.post("/api/v1/events/batch", json={"events": events})
    await projector.catch_up()

    for kind, name in (("csv", "a.csv"), ("excel", "a.xlsx")):
        answer = await viewer.get(f"/api/v1/export/{kind}", params=DAY)
        empty = EventStore[IngestEvent](type(store.log)(), store.codec)
        path = file_with(tmp_path / name, answer.content)
        (account,) = (await Importer(empty, clock)(path)).accounts

        assert numbers(account) == (12, 12, 0, 0)
        assert told(await stored(empty)) == told(await stored(store))


def told(events: list[IngestEvent]) -> set[ScanRecorded]:
    """Scans in no order; nothing and an empty text are the same details."""
    scans = [event for event in events if isinstance(event, ScanRecorded)]
    return {replace(scan, details=scan.details or "") for scan in scans}
