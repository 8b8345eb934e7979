"""Whoever knows an id of another tenant learns and changes no more than with one that is unused."""

import io
from typing import Any
from uuid import UUID

import openpyxl

from libs.testing.routes import assert_foreign_ids_are_unknown, assert_lists_hold_nothing
from tests.services.ingest.history import event, quarantine_id, uuid
from tests.services.ingest.service import (
    BULK,
    DELETIONS,
    EXCEL,
    QUARANTINE,
    RAW,
    REMOVE,
    VERIFY,
    Service,
)

CODE = "4600000000017"
DAY = {"date": "2025-10-31"}
WAITING = str(quarantine_id(UUID(uuid(2))))
FOREIGN = {"uuid": uuid(1), "id": WAITING}
UNKNOWN = {"uuid": uuid(99), "id": str(UUID(int=99))}
BODIES = {
    ("POST", f"{QUARANTINE}/{{id}}/mend"): {"patch": {"operator": "mallory"}},
    ("POST", f"{QUARANTINE}/{{id}}/drop"): {"reason": "none of yours"},
}
ENDLESS = ("GET", "/api/v1/dashboard/stream")
PUBLIC = {"/", "/ping", "/health", "/metrics"}


def ids_in_bodies(ids: dict[str, str]) -> list[tuple[str, Any]]:
    """The routes that take ids in a body."""
    return [
        (VERIFY, {"uuids": [ids["uuid"], ids["id"]]}),
        (BULK, {"operator": "mallory", "uuids": [ids["uuid"]]}),
        (REMOVE, {"operator": "mallory", "box": "ivancov/8", "code": CODE}),
        (f"{QUARANTINE}/replay", {"after": ids["id"]}),
        (f"{QUARANTINE}/replay", {"code": "bad_text"}),
    ]


async def fill(ingest: Service) -> None:
    """One of everything that `demo` can own: a scan, a quarantined event, a removed item."""
    await ingest.send(event(1, code=CODE), event(2, code=7), event(3))
    await ingest.remove(uuid(3))


async def seen(ingest: Service) -> Any:
    """All that the owner sees of what the ids name."""
    return [
        await ingest.get(RAW, **DAY),
        await ingest.get(DELETIONS, **DAY),
        await ingest.get(QUARANTINE, status="all"),
        await ingest.get(f"{QUARANTINE}/{WAITING}"),
    ]


async def test_a_foreign_id_is_an_unknown_id(ingest: Service) -> None:
    await fill(ingest)
    before = await seen(ingest)
    assert [one["total"] for one in before[:3]] == [2, 1, 1]
    document = ingest.app.openapi()

    walked = await assert_foreign_ids_are_unknown(
        ingest.stranger, document, foreign=FOREIGN, unknown=UNKNOWN, bodies=BODIES
    )
    for (path, theirs), (_, unused) in zip(
        ids_in_bodies(FOREIGN), ids_in_bodies(UNKNOWN), strict=True
    ):
        foreign = await ingest.stranger.post(path, json=theirs)
        unknown = await ingest.stranger.post(path, json=unused)
        assert (foreign.status_code, foreign.json()) == (200, unknown.json()), path

    assert len(walked) == 5
    assert await seen(ingest) == before


async def test_lists_hold_nothing_of_others(ingest: Service) -> None:
    await fill(ingest)
    secrets = [uuid(1), uuid(3), WAITING, "ivancov", "Novosem", "anna", CODE]

    walked = await assert_lists_hold_nothing(
        ingest.stranger, ingest.app.openapi(), secrets, except_for=[ENDLESS], query=DAY
    )

    for _, path in walked:
        if path not in PUBLIC | {EXCEL}:
            answer = await ingest.viewer.get(path, params=DAY)
            assert "ivancov" in answer.text, f"{path} shows its owner nothing either"
    rows = []
    for client in (ingest.stranger, ingest.viewer):
        book = openpyxl.load_workbook(io.BytesIO((await client.get(EXCEL, params=DAY)).content))
        rows.append(book.worksheets[0].max_row)
    assert rows == [1, 3]
