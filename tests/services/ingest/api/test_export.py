"""Exports as CSV: which rows, in which words, under which name, and how to go on with one.

Longer than most: one list of what a file must look like.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from prometheus_client import REGISTRY

from contracts.ingest import ItemRemoved
from libs.postgres.pool import Pool
from tests.services.ingest.test_golden import MORNING, moment, the_morning
from tests.services.ingest.told import (
    NOON,
    ZONE,
    Clock,
    Fresh,
    Projector,
    a_scan,
    in_envelope,
    project,
)

CSV = "/api/v1/export/csv"
BOXES = "/api/v1/export/boxes-csv"
EXCEL = "/api/v1/export/excel"
EVERY = pytest.mark.parametrize("path", [CSV, BOXES, EXCEL])
EARLY = datetime(2025, 10, 30, 21, 59, 7, tzinfo=UTC)
"""00:59:07 in Moscow, the next day."""

LOG_FILE = (
    "\ufeffuuid;ts;type;operator;client;city;box;code;details;received_at;source\r\n"
    "00000000-0000-0000-0000-000000000002;31.10.2025 00:59:07;ERROR;;;;;"
    '"=""NO_BOX""";;31.10.2025 12:00:00;pwa\r\n'
    "00000000-0000-0000-0000-000000000001;31.10.2025 12:00:00;ITEM;anna;ivancov;Novosem;"
    'ivancov/8;"=""2042469234860""";;31.10.2025 12:00:00;pwa\r\n'
    "00000000-0000-0000-0000-000000000003;31.10.2025 12:00:00;CITY;anna;;Novosem;;;"
    '"a;""b""";31.10.2025 12:00:00;pwa\r\n'
)
BOX_FILE = (
    "\ufeffКлиент;Город;Короб;ШК;Время скана;Оператор\r\n"
    '—;—;—;"=""1""";31.10.2025 12:00:00;anna\r\n'
    'ivancov;Novosem;8;"=""2042469234860""";31.10.2025 12:00:00;anna\r\n'
    "ivancov;Rostov;8;;31.10.2025 00:59:07;\r\n"
)


async def told(pool: Pool, *events: Any) -> None:
    await project(pool, [in_envelope(event) for event in events])


async def test_the_log_is_exact_to_the_byte(viewer: AsyncClient, pool: Pool) -> None:
    await told(
        pool,
        a_scan(3, kind="CITY", client="", box="", code="", details='a;"b"'),
        a_scan(1),
        a_scan(
            2,
            scanned_at=EARLY,
            kind="ERROR",
            operator="",
            client="",
            city="",
            box="",
            code="NO_BOX",
            details=None,
        ),
    )

    answer = await viewer.get(CSV)

    assert answer.content == LOG_FILE.encode()
    assert answer.headers.get_list("content-type") == ["text/csv; charset=utf-8"]
    assert answer.headers["accept-ranges"] == "none"


async def test_the_boxes_are_exact_to_the_byte(viewer: AsyncClient, pool: Pool) -> None:
    await told(
        pool,
        a_scan(1),
        a_scan(2, scanned_at=EARLY, city="Rostov", operator="", code=""),
        a_scan(3, client="", city="", box="", code="1"),
        a_scan(4, kind="BOX"),
    )

    answer = await viewer.get(BOXES)

    assert answer.content == BOX_FILE.encode()
    assert answer.headers.get_list("content-type") == ["text/csv; charset=utf-8"]


@pytest.mark.parametrize(
    ("label", "number"), [("ivancov/8", "8"), ("a/b/7", "b/7"), ("plain", "plain"), ("a/", "—")]
)
async def test_a_box_goes_by_what_stands_behind_its_client(
    viewer: AsyncClient, pool: Pool, label: str, number: str
) -> None:
    await told(pool, a_scan(1, box=label))

    (line,) = (await viewer.get(BOXES)).text.splitlines()[1:]

    assert line.split(";")[2] == number


@EVERY
@pytest.mark.parametrize(
    ("asked", "days"),
    [
        ({}, "2025-10-31"),
        ({"date_end": "2025-11-05"}, "2025-10-31"),
        ({"date": "2025-10-30"}, "2025-10-30"),
        ({"date": "30.10.2025", "date_end": "2025-10-30"}, "30.10.2025"),
        ({"date": "2025-10-30", "date_end": "01.11.2025"}, "2025-10-30_01.11.2025"),
    ],
    ids=str,
)
async def test_a_file_is_named_after_its_days_as_they_were_written(
    viewer: AsyncClient, path: str, asked: dict[str, str], days: str
) -> None:
    name = {CSV: "scanner_logs_{}.csv", BOXES: "boxes_{}.csv", EXCEL: "scanner_logs_{}.xlsx"}[path]

    answer = await viewer.get(path, params=asked)

    told = answer.headers["content-disposition"]
    assert told == f'attachment; filename="{name.format(days)}"'


@pytest.mark.parametrize("path", [CSV, BOXES])
async def test_days_and_filters_choose_the_rows(viewer: AsyncClient, pool: Pool, path: str) -> None:
    await told(
        pool,
        a_scan(1),
        a_scan(2, scanned_at=NOON - timedelta(days=1)),
        a_scan(3, city=""),
        a_scan(4, client="petrov"),
        a_scan(5, operator="boris"),
    )

    async def rows(**asked: str) -> int:
        return len((await viewer.get(path, params=asked)).text.splitlines()) - 1

    assert await rows() == 4
    assert await rows(date="2025-10-30") == 1
    assert await rows(date="30.10.2025", date_end="31.10.2025") == 5
    assert await rows(city="—") == await rows(client="petrov") == await rows(operator="boris") == 1
    assert await rows(client="ivancov", city="Novosem", operator="anna") == 1


async def test_a_type_chooses_the_rows_of_the_log_and_boxes_hold_items_only(
    viewer: AsyncClient, pool: Pool
) -> None:
    await told(pool, a_scan(1), a_scan(2, kind="BOX"))

    log = (await viewer.get(CSV, params={"type": "BOX"})).text.splitlines()
    boxes = (await viewer.get(BOXES, params={"type": "BOX"})).text.splitlines()

    assert [line.split(";")[2] for line in log[1:]] == ["BOX"]
    assert len(boxes) == 2


async def test_what_was_removed_is_in_no_file(viewer: AsyncClient, pool: Pool) -> None:
    scan = a_scan(1)
    removed = ItemRemoved(
        scan=scan, removal_id=UUID(int=9), removed_at=NOON, removed_by="boss", reason=""
    )
    await told(pool, scan, a_scan(2), removed)

    for path in (CSV, BOXES):
        assert len((await viewer.get(path)).text.splitlines()) == 2


@EVERY
@pytest.mark.parametrize(
    "asked",
    [
        {"date": "31/10/2025"},
        {"date": '2025-10-31"; filename="x'},
        {"date": "2025-10-31", "date_end": "2025-10-31\r\nX: y"},
        {"date": "2025-01-01", "date_end": "2025-10-31"},
        {"operator": "a\0b"},
    ],
    ids=str,
)
async def test_a_question_without_sense_is_400_with_a_sentence(
    viewer: AsyncClient, path: str, asked: dict[str, str]
) -> None:
    answer = await viewer.get(path, params=asked)

    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)
    assert "content-disposition" not in answer.headers


@EVERY
async def test_only_readers_of_the_tenant_get_anything(
    viewer: AsyncClient,
    stranger: AsyncClient,
    device: AsyncClient,
    nobody: AsyncClient,
    pool: Pool,
    path: str,
) -> None:
    await told(pool, a_scan(1))

    assert b"2042469234860" not in (await stranger.get(path)).content
    assert (await device.get(path)).status_code == 403
    assert (await nobody.get(path)).status_code == 401
    assert (await viewer.get(path)).status_code == 200


@EVERY
async def test_only_so_many_export_at_once_and_everybody_gives_the_turn_back(
    app: FastAPI, viewer: AsyncClient, pool: Pool, path: str
) -> None:
    await told(pool, a_scan(1))
    async with app.state.deps.exports:
        refused = await viewer.get(path)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    for asked in ({}, {}, {"after": "nothing"}, {"date": "x"}, {}):
        answer = await viewer.get(path, params=asked)
        assert answer.status_code != 503


@EVERY
async def test_asking_only_for_the_head_is_405(viewer: AsyncClient, path: str) -> None:
    answer = await viewer.head(path)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@EVERY
async def test_an_export_older_than_the_token_says_so(
    viewer: AsyncClient, fresh: Fresh, path: str
) -> None:
    fresh.answer = False

    answer = await viewer.get(path, headers={"X-Consistency-Token": "123"})

    assert (answer.status_code, answer.headers["x-stale"]) == (200, "1")
    assert fresh.asked == {("scan_log", "123")}


@pytest.mark.parametrize(("path", "kind"), [(CSV, "csv"), (BOXES, "boxes-csv"), (EXCEL, "excel")])
async def test_exported_rows_are_counted(
    viewer: AsyncClient, pool: Pool, path: str, kind: str
) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("ingest_exported_rows_total", {"format": kind}) or 0.0

    await told(pool, *(a_scan(n) for n in range(1, 301)))
    before = counted()

    await viewer.get(path)

    assert counted() - before == 300


async def test_a_broken_download_is_completed_from_its_last_whole_line(
    viewer: AsyncClient, pool: Pool
) -> None:
    await told(pool, *(a_scan(n, scanned_at=NOON + timedelta(seconds=n // 7)) for n in range(600)))
    whole = (await viewer.get(CSV)).content
    broken = whole[: len(whole) // 2]
    kept = broken[: broken.rindex(b"\r\n") + 2]
    last = kept.splitlines()[-1].partition(b";")[0].decode()

    rest = await viewer.get(CSV, params={"after": last})

    assert kept + rest.content == whole
    end = whole.splitlines()[-1].partition(b";")[0].decode()
    assert (await viewer.get(CSV, params={"after": end.upper()})).content == b""


@pytest.mark.parametrize(
    "after", ["x", "1\0", "00000000-0000-0000-0000-000000000063", "' OR 1=1 --"]
)
async def test_what_is_no_row_of_the_window_cannot_be_gone_on_after(
    viewer: AsyncClient, pool: Pool, after: str
) -> None:
    await told(pool, a_scan(1), a_scan(99, scanned_at=NOON - timedelta(days=1)))

    answer = await viewer.get(CSV, params={"after": after})

    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "there is no such row to go on after"},
    )


@pytest.mark.parametrize("day", ["2025-10-31", "2025-12-31"])
async def test_the_morning_has_eleven_rows_in_the_order_of_time(
    device: AsyncClient, viewer: AsyncClient, projector: Projector, clock: Clock, day: str
) -> None:
    clock.now = moment(day, "09:15:30", ZONE)
    for _ in range(2):
        await device.post("/api/v1/events/batch", json={"events": the_morning(day)[::-1]})
    await projector.catch_up()

    lines = (await viewer.get(CSV, params={"date": day})).text.split("\r\n")

    written = f"{day[8:]}.{day[5:7]}.{day[:4]}"
    rows = [line.split(";") for line in lines[1:-1]]
    assert [(row[1], row[2]) for row in rows] == [
        (f"{written} {at}", kind) for at, kind, *_ in MORNING
    ]
    assert rows[2][7] == '"=""2042469234860"""'
