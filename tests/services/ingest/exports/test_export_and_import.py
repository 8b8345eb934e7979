"""A full export, imported into an empty system, gives the same system."""

import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest

from contracts.ingest import ItemRemoved, ScanRecorded
from services.ingest.imports.domain.log_events import COLUMN
from tests.services.ingest.history import NOON, NOON_MS, event, events_in, uuid
from tests.services.ingest.importing import Importer, file_with, numbers
from tests.services.ingest.service import (
    BOXES,
    BOXES_CSV,
    CSV,
    DELETIONS,
    EXCEL,
    RAW,
    STATE,
    Service,
)
from tests.services.ingest.shift import a_step, sent

ANSWERS: list[tuple[str, dict[str, Any]]] = [
    (STATE, {}),
    (STATE, {"operator": "anna"}),
    (BOXES, {"items": 50}),
    (RAW, {"limit": 10_000}),
    (DELETIONS, {}),
    (CSV, {}),
    (CSV, {"full": 1}),
    (BOXES_CSV, {}),
    (EXCEL, {"full": 1}),
]
DAYS = {"date": "2025-10-25", "date_end": "2025-11-05"}
HOSTILE = [
    *("=1+1", "x,=cmd|' /C calc'!A0", "'=1", '"&A1&"', "a\r\nb;c", "\t", " Анна\xa0", "_x001D_"),
    *("01046\x1d21\x0b", "\ufffe\uffff\x7f\u2028", "🌻", "5E+12", "1234567890123450", "31.10.2025"),
]


OPERATORS = ["Андрей", "Андреи\u0306", "Андрей ", " Андрей", "=Андрей", ""]
"""The first four are one."""


async def an_exchange(
    ingest: Service, importer: Importer, folder: Path, path: str = CSV
) -> tuple[int, int, int, int]:
    """Everything of one tenant is exported in full and imported for another; the account."""
    answer = await ingest.viewer.get(path, params=DAYS | {"full": 1})
    name = "export.xlsx" if path == EXCEL else "export.csv"
    (result,) = (await importer(file_with(folder / name, answer.content))).results
    assert result.fault is None
    await ingest.read_models.catch_up()
    return numbers(result)


@pytest.fixture
def importer(ingest: Service) -> Importer:
    """An importer for a tenant that has nothing yet."""
    return Importer(ingest.store, clock=ingest.clock, tenant="other")


def content_of(answer: Any) -> bytes:
    """The content of a response; for a workbook its rows, because the file has its date."""
    if not answer.content.startswith(b"PK"):
        content: bytes = answer.content
        return content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as parts:
        return parts.read("xl/worksheets/sheet1.xml")


@pytest.mark.parametrize("path", [CSV, EXCEL])
@pytest.mark.parametrize("seed", range(4))
async def test_dashboards_boxes_and_exports_are_the_same_byte_for_byte(
    ingest: Service, importer: Importer, tmp_path: Path, path: str, seed: int
) -> None:
    random = Random(seed)
    for number in range(25):
        await a_step(random, ingest)
        texts = {name: random.choice(HOSTILE) for name in ("code", "box", "city", "details")}
        given = {"uuid": uuid(1000 + number), "details": random.choice([..., None, ""])} | (
            texts if random.random() < 0.7 else {}
        )
        given["operator"] = random.choice(OPERATORS)
        await ingest.send(sent(0, ingest.clock.now, **given))

    first = await an_exchange(ingest, importer, tmp_path, path)
    again = await an_exchange(ingest, importer, tmp_path, path)

    assert first == (first[0], first[0], 0, 0)
    assert again == (first[0], 0, first[0], 0)
    assert await events_in(ingest.store, ItemRemoved)
    for path, params in ANSWERS:
        ours, theirs = [
            content_of(await caller.get(path, params=DAYS | params))
            for caller in (ingest.viewer, ingest.stranger)
        ]
        assert ours == theirs, path


async def test_a_box_that_was_closed_within_a_second_is_closed_after_an_import(
    ingest: Service, importer: Importer, tmp_path: Path
) -> None:
    for number in range(10):
        box = {"box": f"ivancov/{number}", "client": "ivancov"}
        # Uuids fall while time rises, so that no order of ids helps.
        for n, kind in enumerate(("BOX", "ITEM", "CLOSE")):
            scan = event(900 - number * 3 - n, ts=NOON_MS - 5_000 + n * 2, type=kind, **box)
            await ingest.send(scan)

    await an_exchange(ingest, importer, tmp_path)

    answer = (await ingest.stranger.get(BOXES)).json()
    boxes = [box for one in answer["clients"] for city in one["cities"] for box in city["boxes"]]
    assert [box["status"] for box in boxes] == ["closed"] * 10


def changed(content: bytes, row: int, old: str, new: str) -> bytes:
    """A file in which a text of one of its rows is another."""
    lines = content.decode("utf-8-sig").split("\r\n")
    assert old in lines[row]
    lines[row] = lines[row].replace(old, new, 1)
    return "\r\n".join(lines).encode("utf-8-sig")


SPOILT: dict[str, tuple[str, str, str]] = {
    "a time without seconds": ("31.10.2025 12:00:00", "31.10.2025 12:00", ""),
    "a rounded code": ('"=""4600000000017"""', "4.6E+12", ""),
    "a bare code": ('"=""4600000000017"""', "4600000000017", ""),
    "another operator": (";anna;", ";boris;", "operator says something else"),
    "another time": ("31.10.2025 12:00:00", "31.10.2025 12:00:01", "ts says something else"),
    "a broken record": ('"[{', '"[[', "not what an export wrote"),
    "an unknown event": ("ScanRecorded", "ScanErased", "not what an export wrote"),
    "a list for a name": ('""ScanRecorded""', '[""ScanRecorded""]', "not what an export wrote"),
    "a text for a version": ('""version"":1', '""version"":""1""', "not what an export wrote"),
    "a day that counts twice": ('""skewed"":false', '""skewed"":true', "not what an export"),
    "a local time": ('12.345000Z"",""effective', '12.345""' + ',""effective', "not what an export"),
}


@pytest.mark.parametrize(("old", "new", "reason"), SPOILT.values(), ids=SPOILT)
async def test_cells_spoilt_by_a_spreadsheet_are_restored_and_changed_ones_rejected(
    ingest: Service, importer: Importer, tmp_path: Path, old: str, new: str, reason: str
) -> None:
    ingest.clock.advance(seconds=12, microseconds=345_000)
    await ingest.send(event(1, code="4600000000017"))
    content = (await ingest.viewer.get(CSV, params={"full": 1})).content

    path = file_with(tmp_path / "a.csv", changed(content, 1, old, new))
    (result,) = (await importer(path)).results

    assert numbers(result) == ((1, 0, 0, 1) if reason else (1, 1, 0, 0))
    if reason:
        assert reason in result.rejects.read_text(encoding="utf-8-sig")
    else:
        first, imported = await events_in(ingest.store, ScanRecorded)
        assert first == imported


async def test_a_rejected_row_is_imported_by_its_events_or_without_them_by_its_cells(
    ingest: Service, importer: Importer, tmp_path: Path
) -> None:
    await ingest.send(event(1), event(2))
    content = (await ingest.viewer.get(CSV, params={"full": 1})).content
    path = file_with(tmp_path / "a.csv", changed(content, 1, ";anna;", ";boris;"))
    (result,) = (await importer(path)).results
    text = result.rejects.read_text(encoding="utf-8-sig")
    assert COLUMN in text.splitlines()[0]

    mended = file_with(tmp_path / "b.csv", text.replace(";boris;", ";anna;").encode())
    assert numbers((await importer(mended, dry=True)).results[0]) == (1, 1, 0, 0)
    head, line = text.splitlines()
    plain = line.partition(';"[')[0]
    emptied = file_with(tmp_path / "c.csv", f"{head}\n{plain};\n".encode())
    assert numbers((await importer(emptied)).results[0]) == (1, 1, 0, 0)

    imported = (await events_in(ingest.store, ScanRecorded))[2:]
    assert sorted(scan.operator for scan in imported) == ["anna", "boris"]


async def test_a_removal_is_imported_for_a_scan_in_the_log(
    ingest: Service, importer: Importer, tmp_path: Path
) -> None:
    await ingest.send(event(1), event(2))
    await an_exchange(ingest, importer, tmp_path)
    # The log of the other has told another operator of it, which is what is taken back.
    await ingest.send(event(3, operator="boris"), by=ingest.stranger)
    await ingest.send(event(3))
    ingest.clock.advance(seconds=1)
    await ingest.remove(uuid(1), uuid(3))

    assert await an_exchange(ingest, importer, tmp_path) == (4, 3, 1, 0)

    removals = (await events_in(ingest.store, ItemRemoved))[2:]
    assert {(one.scan.operator, one.removed_by) for one in removals} == {
        ("anna", "vera"),
        ("boris", "vera"),
    }
    summary = (await ingest.stranger.get(STATE)).json()["summary"]
    assert (summary["items"], summary["removed"]) == (1, 2)


async def test_an_audit_is_one_row_however_its_exports_are_imported(
    ingest: Service, tmp_path: Path
) -> None:
    await ingest.send(event(1))
    await ingest.remove(uuid(1))
    importer = Importer(ingest.store, clock=ingest.clock)
    there, back = [Importer(ingest.store, clock=ingest.clock, tenant=t) for t in ("x", "other")]
    for target in (importer, there, back):
        for given in ({}, {"full": 1}) if target is back else ({"full": 1}, {}):
            answer = await ingest.viewer.get(CSV, params=given)
            await target(file_with(tmp_path / "a.csv", answer.content))

    kinds = [type(one).__name__ for one in await events_in(ingest.store)]
    assert sorted(kinds) == [
        *["ItemRemoved"] * 3,
        *["RemovalRecorded"] * 2,
        *["ScanRecorded"] * 4,
    ]


async def test_a_text_too_long_for_a_cell_is_truncated_and_rejected_by_an_import(
    ingest: Service, importer: Importer, tmp_path: Path
) -> None:
    long = [event(1, details="x" * 33_000), event(2, details="🌻" * 17_000), event(3)]
    await ingest.send(*long)

    assert await an_exchange(ingest, importer, tmp_path, EXCEL) == (3, 1, 0, 2)
    rejected = (tmp_path / "export.xlsx.rejected.csv").read_text(encoding="utf-8-sig")
    assert rejected.count("was too long for a workbook; export it as CSV") == 2
    assert "33000 characters do not fit into a cell" in rejected
    assert await an_exchange(ingest, importer, tmp_path, CSV) == (3, 2, 1, 0)
    assert {scan.details for scan in await events_in(ingest.store, ScanRecorded)} == {
        one["details"] for one in long
    }


async def test_the_last_cell_of_a_row_is_valid_json(ingest: Service) -> None:
    ingest.clock.advance(microseconds=7)
    await ingest.send(event(1, operator="=1+1", details="a -b"))
    await ingest.remove(uuid(1))

    answer = await ingest.viewer.get(CSV, params={"full": 1})

    head, scan, audit = answer.text.splitlines()
    assert head.endswith(f";source;{COLUMN}")
    cell = scan.partition(';"[')[2].removesuffix('"').replace('""', '"')
    recorded, removed = json.loads(f"[{cell}")
    assert recorded["type"] == "ScanRecorded"
    assert recorded["data"]["operator"] == "=1+1"
    assert recorded["data"]["received_at"] == f"{NOON:%Y-%m-%dT%H:%M:%S}.000007Z"
    assert removed["data"]["removed_by"] == "vera"
    assert "RemovalRecorded" in audit
