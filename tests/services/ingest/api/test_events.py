"""What devices send."""

import asyncio
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from contracts.ingest import EVENTS, IngestEvent
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import Pool
from tests.services.ingest.told import NOON_MS, Clock

BATCH = "/api/v1/events/batch"
VERIFY = "/api/v1/events/verify"
V4 = "c6414b06-5a3c-4c0e-9e0f-2b1d3f4a5b6c"


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    told = {
        "uuid": str(UUID(int=number, version=4)),
        "ts": NOON_MS,
        "type": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": str(number),
        "details": "",
        "source": "pwa",
    }
    return told | changes


async def recorded(store: EventStore[IngestEvent]) -> int:
    return sum([len(page) async for page in store.log.read_all()])


async def test_a_batch_is_answered_as_devices_expect(device: AsyncClient) -> None:
    answer = await device.post(BATCH, json={"events": [event(uuid=V4.upper())]})

    assert answer.status_code == 200
    assert answer.json() == {
        "ok": True,
        "inserted": 1,
        "skipped": 0,
        "duplicates": [],
        "errors": [],
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-consistency-token"]


async def test_a_batch_sent_again_is_skipped_by_canonical_uuid(device: AsyncClient) -> None:
    body = {"events": [event(uuid=V4.upper())]}
    await device.post(BATCH, json=body)

    answer = await device.post(BATCH, json=body)

    assert answer.json() | {"errors": []} == {
        "ok": True,
        "inserted": 0,
        "skipped": 1,
        "duplicates": [V4],
        "errors": [],
    }


async def test_one_bad_event_neither_fails_nor_stops_the_batch(device: AsyncClient) -> None:
    answer = await device.post(BATCH, json={"events": [event(1), event(2, ts=5), event(3)]})

    said = answer.json()
    assert (answer.status_code, said["ok"], said["inserted"]) == (200, True, 2)
    assert said["inserted"] + said["skipped"] + len(said["errors"]) == 3
    assert all(isinstance(error, str) for error in said["errors"])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"not json", "json_invalid"),
        (b"{}", "missing"),
        (b'{"events":7}', "list_type"),
        (b'{"events":[]}', "too_short"),
        (json.dumps({"events": [event()] * 101}).encode(), "too_long"),
    ],
    ids=["not json", "no events", "no list", "none", "101"],
)
async def test_what_is_no_batch_is_422_in_the_original_shape(
    device: AsyncClient, store: EventStore[IngestEvent], body: bytes, kind: str
) -> None:
    answer = await device.post(BATCH, content=body)

    (detail,) = answer.json()["detail"]
    assert answer.status_code == 422
    assert detail["type"] == kind
    assert set(detail) <= {"type", "loc", "msg", "input", "ctx"}
    assert await recorded(store) == 0


async def test_a_body_beyond_the_limit_is_413(device: AsyncClient) -> None:
    answer = await device.post(BATCH, content=b" " * (10 * 1024 * 1024 + 1))

    assert (answer.status_code, set(answer.json())) == (413, {"detail"})


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "", "application/json"])
async def test_the_content_type_does_not_matter(device: AsyncClient, content_type: str) -> None:
    body = json.dumps({"events": [event()]}).encode()

    answer = await device.post(BATCH, content=body, headers={"content-type": content_type})

    assert answer.json()["inserted"] == 1


@pytest.mark.parametrize(
    "path", ["/api/v1/api/v1/events/batch", "//api/v1/events/batch", BATCH + "/"]
)
async def test_old_spellings_of_the_path_are_understood(device: AsyncClient, path: str) -> None:
    answer = await device.post(f"http://ingest{path}", json={"events": [event()]})

    assert answer.json()["inserted"] == 1


async def test_without_a_credential_nothing_is_stored(
    nobody: AsyncClient, viewer: AsyncClient, store: EventStore[IngestEvent]
) -> None:
    refused = await nobody.post(BATCH, json={"events": [event()]})
    forbidden = await viewer.post(BATCH, json={"events": [event()]})

    assert (refused.status_code, forbidden.status_code) == (401, 403)
    assert isinstance(refused.json()["detail"], str)
    assert await recorded(store) == 0


async def test_while_the_log_is_away_nothing_is_acknowledged(
    device: AsyncClient, app: FastAPI, pool: Pool
) -> None:
    await pool.close()
    gone = EventStore[IngestEvent](PostgresLog(pool), Codec(EVENTS))
    app.state.deps = replace(app.state.deps, store=gone)

    sent = await device.post(BATCH, json={"events": [event()]})
    asked = await device.post(VERIFY, json={"uuids": [V4]})

    assert (sent.status_code, asked.status_code) == (503, 503)
    assert sent.headers["retry-after"]
    assert set(sent.json()) == {"detail"}


async def test_a_batch_is_stored_in_the_name_of_its_tenant_and_device(
    device: AsyncClient, store: EventStore[IngestEvent]
) -> None:
    await device.post(BATCH, json={"events": [event()]}, headers={"x-request-id": "r-0123456789"})

    (told,) = [one async for page in store.log.read_all() for one in page]
    assert (told.cause.tenant, told.cause.actor) == ("demo", "device-1")
    assert told.cause.correlation_id == "r-0123456789"


async def test_a_whole_day_sent_again_is_skipped_whatever_the_hour(
    device: AsyncClient, clock: Clock
) -> None:
    events = [event(n) for n in range(100)]
    await device.post(BATCH, json={"events": events})
    clock.pass_by(hours=8)

    answer = await device.post(BATCH, json={"events": events[::-1]})

    assert (answer.json()["inserted"], answer.json()["skipped"]) == (0, 100)


async def test_parallel_identical_batches_are_all_200_and_truly_counted(
    device: AsyncClient,
) -> None:
    body = {"events": [event(n) for n in range(20)]}

    answers = await asyncio.gather(*(device.post(BATCH, json=body) for _ in range(40)))

    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["inserted"] for answer in answers) == 20


async def test_verify_echoes_what_is_known_as_it_was_spelled(device: AsyncClient) -> None:
    await device.post(BATCH, json={"events": [event(uuid=V4), event(2, operator=None)]})
    asked = [V4.upper(), event(2)["uuid"], "uuid1", event(3)["uuid"], V4.upper()]

    answer = await device.post(VERIFY, json={"uuids": asked})

    assert answer.json() == {"ok": True, "present": [V4.upper(), event(2)["uuid"]]}


@pytest.mark.parametrize("uuids", [[], [V4] * 1001, "x", None, [7]])
async def test_verify_wants_one_to_a_thousand_texts(device: AsyncClient, uuids: object) -> None:
    answer = await device.post(VERIFY, json={"uuids": uuids})

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], list)
