"""What is decided about what could not be understood."""

import asyncio
import json
from typing import Any

import pytest
from httpx import AsyncClient

from tests.services.ingest.api.test_events import BATCH, VERIFY, event
from tests.services.ingest.api.test_quarantine import QUARANTINE, ids, sent
from tests.services.ingest.told import NOON_MS, Fresh, Projector

STATE = "/api/v1/dashboard/state?date=2025-10-31"


async def test_an_event_is_mended_and_counts_at_once(
    device: AsyncClient, mender: AsyncClient, projector: Projector, fresh: Fresh
) -> None:
    await sent(device, projector, event(1, code=7))
    (kept_id,) = await ids(mender)

    answer = await mender.post(f"{QUARANTINE}/{kept_id}/mend", json={"patch": {"code": "7"}})
    await projector.catch_up()

    uuid = event(1)["uuid"]
    assert (answer.status_code, answer.json()) == (
        200,
        {"ok": True, "status": "mended", "scanId": uuid, "duplicate": False},
    )
    assert (await mender.get(STATE)).json()["summary"]["items"] == 1
    assert (await mender.get(QUARANTINE)).json() == {"events": [], "total": 0, "counts": {}}
    listed = await mender.get(
        f"{QUARANTINE}?status=mended",
        headers={"X-Consistency-Token": answer.headers["x-consistency-token"]},
    )
    (kept,) = listed.json()["events"]
    assert (kept["status"], kept["scanId"], kept["decidedBy"]) == ("mended", uuid, "mender")
    assert (await device.post(VERIFY, json={"uuids": [uuid]})).json()["present"] == [uuid]
    assert ("quarantine", answer.headers["x-consistency-token"]) in fresh.asked


async def test_a_mended_scan_keeps_the_moment_it_was_received(
    device: AsyncClient, mender: AsyncClient, projector: Projector, clock: Any
) -> None:
    await sent(device, projector, event(1, code=7, ts=NOON_MS + 3_600_000))
    (kept_id,) = await ids(mender)
    clock.pass_by(days=3)

    body = event(1, code="7", ts=NOON_MS + 3_600_000)
    await mender.post(f"{QUARANTINE}/{kept_id}/mend", json=body)
    await projector.catch_up()

    (row,) = (await mender.get("/api/v1/dashboard/raw?date=2025-10-31")).json()["logs"]
    assert (row["receivedAtMs"], row["tsMs"], row["skewed"]) == (NOON_MS, NOON_MS, True)


async def test_what_is_still_wrong_is_said_field_by_field_and_nothing_written(
    device: AsyncClient, mender: AsyncClient, projector: Projector
) -> None:
    await sent(device, projector, event(1, code=7))
    (kept_id,) = await ids(mender)

    answer = await mender.post(
        f"{QUARANTINE}/{kept_id}/mend", json={"patch": {"code": 401, "operator": "x" * 101}}
    )

    assert answer.status_code == 422
    assert answer.json() == {
        "detail": "code must be a text",
        "code": "bad_text",
        "wrong": [
            {
                "field": "operator",
                "code": "too_long",
                "reason": "operator is longer than 100 characters",
            },
            {"field": "code", "code": "bad_text", "reason": "code must be a text"},
        ],
    }
    await projector.catch_up()
    assert len((await mender.get(QUARANTINE)).json()["events"]) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"7", b"[]", b'"\xff"', b"[" * 100_000])
async def test_a_correction_that_is_no_object_is_refused(
    device: AsyncClient, mender: AsyncClient, projector: Projector, body: bytes
) -> None:
    await sent(device, projector, event(1, code=7))
    (kept_id,) = await ids(mender)

    answer = await mender.post(f"{QUARANTINE}/{kept_id}/mend", content=body)

    assert answer.status_code == 422


@pytest.mark.parametrize(
    "code", ["\0", "\ud800", "x" * 501, 7, None, {"a": [float("nan")]}], ids=repr
)
async def test_hostile_corrections_are_answered(
    device: AsyncClient, mender: AsyncClient, projector: Projector, code: object
) -> None:
    await sent(device, projector, event(1, ts="noon"))
    (kept_id,) = await ids(mender)

    whole = json.dumps(event(1, operator=code)).encode()
    answers = [
        await mender.post(f"{QUARANTINE}/{kept_id}/mend", content=whole),
        await mender.post(f"{QUARANTINE}/{kept_id}/drop", content=json.dumps({"reason": code})),
    ]

    assert {answer.status_code for answer in answers} <= {422, 200}
    assert answers[0].status_code == 422


async def test_a_decision_is_taken_once_and_told_to_whoever_comes_later(
    device: AsyncClient, mender: AsyncClient, projector: Projector
) -> None:
    await sent(device, projector, event(1, code=7))
    (kept_id,) = await ids(mender)

    first = await mender.post(f"{QUARANTINE}/{kept_id}/drop", json={"reason": "a test"})
    later = [
        await mender.post(f"{QUARANTINE}/{kept_id}/mend", json={"patch": {"code": "7"}}),
        await mender.post(f"{QUARANTINE}/{kept_id}/replay"),
        await mender.post(f"{QUARANTINE}/{kept_id}/drop", json={"reason": "another"}),
    ]

    assert first.json() == {"ok": True, "status": "dropped", "scanId": None, "duplicate": False}
    for answer in later:
        assert answer.status_code == 409
        assert answer.json() == {
            "detail": "It was decided before what becomes of this event.",
            "code": "AlreadyDecided",
            "decision": {
                "status": "dropped",
                "decidedAt": "31.10.2025 12:00:00",
                "decidedBy": "mender",
                "decision": "a test",
                "scanId": None,
            },
        }


async def test_many_at_once_get_one_success(
    device: AsyncClient, mender: AsyncClient, projector: Projector
) -> None:
    await sent(device, projector, event(1, code=7))
    (kept_id,) = await ids(mender)

    answers = await asyncio.gather(
        *(
            mender.post(f"{QUARANTINE}/{kept_id}/mend", json={"patch": {"code": str(n)}})
            for n in range(20)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19


async def test_it_works_before_the_read_model_has_heard_of_the_event(
    device: AsyncClient, mender: AsyncClient, projector: Projector
) -> None:
    await device.post(BATCH, json={"events": [event(1, code=7)]})
    (recorded,) = [one async for page in projector.store.log.read_all() for one in page]
    kept_id = recorded.event_id

    seen = await mender.get(f"{QUARANTINE}/{kept_id}")
    done = await mender.post(f"{QUARANTINE}/{kept_id}/mend", json={"patch": {"code": "7"}})
    after = await mender.get(f"{QUARANTINE}/{kept_id}")

    assert (seen.json()["status"], done.status_code) == ("open", 200)
    assert after.json()["status"] == "mended"
