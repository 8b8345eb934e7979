"""An undone import is in no read model, and its scans can be recorded again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from contracts.ingest import ImportUndone, ScanRecorded
from libs.clock import utc_now
from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from libs.testing.read_models import rows_of
from services.ingest.removals.handlers.undo import undo_import
from tests.services.ingest.history import (
    PROJECTIONS,
    TABLES,
    Store,
    event,
    events_in,
    fill,
    quarantine_id,
    uuid,
)
from tests.services.ingest.importing import Importer, a_csv, a_row, file_with, numbers
from tests.services.ingest.service import (
    BATCH,
    BOXES,
    CSV,
    DELETIONS,
    QUARANTINE,
    RAW,
    STATE,
    VERIFY,
    ReadModels,
    Service,
    open_service,
)

BOX = {"client": "ivancov", "city": "Novosem", "box": "ivancov/8"}
WRONG = [
    a_row(1, type="BOX", ts="31.10.2025 11:00:00", **BOX),
    a_row(2, operator="РџРµС‚СЂ", **BOX),
    a_row(3, **BOX),
    a_row(4, type="CLOSE", ts="31.10.2025 11:59:59", **BOX),
]
RIGHT = [WRONG[0], a_row(2, operator="Пётр", **BOX), WRONG[2], a_row(9, **BOX)]


@pytest.fixture
async def ingest(
    stores: list[Store], pool: Pool, reading_pool: Pool, clock: Clock
) -> AsyncIterator[Service]:
    """The whole API on a real log."""
    read_models = ReadModels(stores[0], pool, "ingest", PROJECTIONS)
    async with open_service(stores[0], pool, reading_pool, clock, read_models) as service:
        yield service


async def an_import(ingest: Service, folder: Path, rows: list[dict[str, str]], run: str) -> Any:
    """Rows in a file, imported; the account."""
    importer = Importer(ingest.store, clock=ingest.clock, run_id=run)
    (result,) = (await importer(a_csv(folder / "raw.csv", rows))).results
    await ingest.read_models.catch_up()
    return numbers(result)


async def rebuild(ingest: Service, database: str) -> dict[str, list[Any]]:
    """Build every read model anew; their rows."""
    await fill(database, f"TRUNCATE {', '.join(TABLES)}")
    ingest.read_models.position = 0
    await ingest.read_models.catch_up()
    return await rows_of(ingest.pool, TABLES, except_columns=("changed",))


async def answers(ingest: Service) -> list[Any]:
    """What people see of it."""
    return [await ingest.get(path) for path in (STATE, BOXES, RAW, DELETIONS)]


async def in_the_past(ingest: Service) -> Any:
    """The state of the day, as it was known when all of it was."""
    moment, ingest.clock.now = ingest.clock.now, utc_now()
    as_of = ingest.clock.now.isoformat()
    state = await ingest.get(STATE, date="2025-10-31", as_of=as_of)
    ingest.clock.now = moment
    return state


async def test_scans_of_an_undone_import_are_in_no_read_model(
    ingest: Service, database: str, tmp_path: Path
) -> None:
    await ingest.send(event(50, type="BOX", **BOX), event(51, **BOX))
    before, expected = await rebuild(ingest, database), await answers(ingest)
    assert await an_import(ingest, tmp_path, WRONG, "run-1") == (4, 4, 0, 0)
    assert await answers(ingest) != expected

    new = [
        await undo_import(ingest.store, tenant, "run-1", now=ingest.clock())
        for tenant in ("other", "demo", "demo")
    ]

    assert new == [True, True, False]
    assert len(await events_in(ingest.store, ImportUndone)) == 2
    assert await rebuild(ingest, database) == before
    assert await answers(ingest) == expected
    assert (await in_the_past(ingest))["summary"] == expected[0]["summary"]


async def test_only_the_named_import_is_undone(
    ingest: Service, database: str, tmp_path: Path
) -> None:
    await an_import(ingest, tmp_path, WRONG[:2], "run-1")
    await an_import(ingest, tmp_path, WRONG, "run-2")

    await undo_import(ingest.store, "demo", "run-2", now=ingest.clock())
    await rebuild(ingest, database)

    assert (await ingest.get(RAW))["total"] == 2


async def test_the_corrected_file_is_imported_under_the_same_ids_and_can_be_undone_too(
    ingest: Service, database: str, tmp_path: Path
) -> None:
    await an_import(ingest, tmp_path, WRONG, "run-1")
    assert await an_import(ingest, tmp_path, RIGHT, "run-2") == (4, 1, 3, 0)
    for run in ("run-1", "run-2"):
        await undo_import(ingest.store, "demo", run, now=ingest.clock())

    assert await an_import(ingest, tmp_path, RIGHT, "run-3") == (4, 4, 0, 0)
    assert await an_import(ingest, tmp_path, RIGHT, "run-4") == (4, 0, 4, 0)
    await rebuild(ingest, database)

    state, boxes, raw, _ = await answers(ingest)
    assert state["operatorsList"] == ["anna", "Пётр"]
    assert boxes["clients"][0]["cities"][0]["boxes"][0]["status"] == "open"
    assert raw["total"] == 4
    await undo_import(ingest.store, "demo", "run-3", now=ingest.clock())
    await rebuild(ingest, database)
    assert (await ingest.get(RAW))["total"] == 0
    assert await an_import(ingest, tmp_path, WRONG, "run-5") == (4, 4, 0, 0)


async def test_a_device_sees_which_scans_were_undone(
    ingest: Service, database: str, tmp_path: Path
) -> None:
    device = [event(uuid=row["uuid"], code=row["code"]) for row in WRONG]
    await an_import(ingest, tmp_path, WRONG, "run-1")
    assert (await ingest.send(*device))["skipped"] == 4
    body = {"uuids": [one["uuid"] for one in device]}
    assert len((await ingest.device.post(VERIFY, json=body)).json()["present"]) == 4
    await undo_import(ingest.store, "demo", "run-1", now=ingest.clock())
    assert (await ingest.device.post(VERIFY, json=body)).json()["present"] == []

    both = await ingest.device.post(BATCH, json={"events": [*device, device[0], event(77)]})
    assert both.json()["inserted"] == 5
    # What was never there and what is recorded again: two transactions.
    assert len(both.headers["X-Consistency-Token"].split(",")) == 2
    assert (await ingest.send(*device))["skipped"] == 4
    await rebuild(ingest, database)

    assert (await ingest.get(STATE))["summary"]["items"] == 5


async def test_a_removed_item_is_undone_with_its_removal_and_can_be_removed_again(
    ingest: Service, database: str, tmp_path: Path
) -> None:
    await an_import(ingest, tmp_path, WRONG, "run-1")
    assert (await ingest.remove(WRONG[2]["uuid"]))["removed_count"] == 1
    await undo_import(ingest.store, "demo", "run-1", now=ingest.clock())
    assert not (await ingest.remove(WRONG[2]["uuid"]))["ok"]
    await an_import(ingest, tmp_path, RIGHT, "run-2")
    await rebuild(ingest, database)
    assert (await ingest.get(STATE))["summary"]["items"] == 3

    assert (await ingest.remove(WRONG[2]["uuid"]))["removed_count"] == 1
    assert not (await ingest.remove(WRONG[2]["uuid"]))["ok"]
    after = await rebuild(ingest, database)

    summary = (await ingest.get(STATE))["summary"]
    assert (summary["items"], summary["removed"]) == (2, 1)
    assert len(after["removal"]) == 1
    assert (await in_the_past(ingest))["summary"] == summary
    # Exported in full it is what it is now, and nothing of what was undone.
    content = (await ingest.viewer.get(CSV, params={"full": 1})).content
    other = Importer(ingest.store, clock=ingest.clock, tenant="other")
    await other(file_with(tmp_path / "full.csv", content))
    await ingest.read_models.catch_up()
    assert (await ingest.stranger.get(STATE)).json()["summary"] == summary
    recorded = await events_in(ingest.store, ScanRecorded)
    assert [one.operator for one in recorded].count("РџРµС‚СЂ") == 1


async def test_a_mended_event_may_have_the_id_of_an_undone_scan(
    ingest: Service, database: str, tmp_path: Path
) -> None:
    await an_import(ingest, tmp_path, [a_row(0) | {"uuid": uuid(1)}], "run-1")
    await ingest.send(event(1, ts=1))
    await undo_import(ingest.store, "demo", "run-1", now=ingest.clock())

    path = f"{QUARANTINE}/{quarantine_id(UUID(uuid(1)))}/mend"
    answer = await ingest.mender.post(path, json={"patch": {"ts": event()["ts"]}})
    await rebuild(ingest, database)

    assert answer.status_code == 200, answer.text
    assert [one["uuid"] for one in (await ingest.get(RAW))["logs"]] == [uuid(1)]
