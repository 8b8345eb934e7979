"""Quarantined events over HTTP: lists, inspection and decisions."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import Response

from contracts.ingest import ScanId, ScanRecorded
from services.ingest.scans.domain import identity
from tests.services.ingest.history import NOON, NOON_MS, event, events_in, quarantine_id, uuid
from tests.services.ingest.service import BATCH, QUARANTINE, RAW, STATE, VERIFY, Service

DAY = {"date": "2025-10-31"}
FIRST = quarantine_id(UUID(uuid(1)))
"""Where `event(1)` waits."""


async def decide(
    ingest: Service, what: str, body: Any = None, one: object = FIRST
) -> tuple[Response, Any]:
    """Mend, replay or drop an event; the answer and its JSON."""
    answer = await ingest.mender.post(f"{QUARANTINE}/{one}/{what}", json=body)
    await ingest.read_models.catch_up()
    return answer, answer.json()


def patch(**fields: Any) -> Any:
    return {"patch": fields}


async def test_quarantined_events_are_listed_word_for_word(ingest: Service) -> None:
    await ingest.send({"uuid": "x", "code": "\0"})

    listed = await ingest.get(QUARANTINE)

    (inspected,) = listed["events"]
    assert (listed["total"], listed["counts"]) == (1, {"bad_uuid": 1})
    assert (inspected["uuid"], inspected["code"], inspected["status"]) == (
        None,
        "bad_uuid",
        "open",
    )
    assert inspected["raw"] == '{"uuid": "x", "code": "\\u0000"}'
    assert inspected["rawLength"] == len(inspected["raw"])
    assert (inspected["receivedAt"], inspected["receivedAtMs"]) == (
        "31.10.2025 12:00:00",
        NOON_MS,
    )


async def test_an_event_is_inspected_in_full(ingest: Service) -> None:
    await ingest.send(event(1, code=7))
    ingest.clock.advance(hours=1)
    await decide(ingest, "drop", {"reason": "a test"})

    inspected = await ingest.get(f"{QUARANTINE}/{FIRST}")

    assert inspected["value"] == json.loads(inspected["raw"]) == event(1, code=7)
    assert (inspected["whole"], inspected["acceptable"]) == (True, False)
    assert inspected["wrong"] == [
        {"field": "code", "code": "bad_text", "reason": "code must be a text"}
    ]
    assert [(m["what"], m["at"], m["by"], m["reason"]) for m in inspected["history"]] == [
        ("quarantined", "31.10.2025 12:00:00", "device-1", "code must be a text"),
        ("dropped", "31.10.2025 13:00:00", "mender", "a test"),
    ]


async def test_invalid_json_is_returned_as_text(ingest: Service) -> None:
    content = b'{"events":[{"ts":NaN,"uuid":"x"},{"code":"\\ud800","uuid":"y"},7]}'
    await ingest.device.post(BATCH, content=content)

    listed = (await ingest.get(QUARANTINE))["events"]
    inspected = [await ingest.get(f"{QUARANTINE}/{one['id']}") for one in listed]

    assert {one["raw"]: one["value"] for one in inspected} == {
        '{"ts": NaN, "uuid": "x"}': None,
        '{"code": "\\ud800", "uuid": "y"}': {"code": "\ud800", "uuid": "y"},
        "7": 7,
    }


async def test_a_truncated_event_is_corrected_as_a_whole(
    ingest: Service,
) -> None:
    await ingest.send(event(1, details="x" * 300_000))

    inspected = await ingest.get(f"{QUARANTINE}/{FIRST}")
    again, refusal = await decide(ingest, "replay")
    patched, _ = await decide(ingest, "mend", patch(details=""))
    whole, _ = await decide(ingest, "mend", event(1))

    assert (inspected["whole"], inspected["value"], inspected["acceptable"]) == (
        False,
        None,
        False,
    )
    assert [one.status_code for one in (again, patched, whole)] == [409, 409, 200]
    assert refusal == {
        "detail": "Only the start of this event was kept, so it must be corrected as a whole.",
        "code": "CutShort",
    }


async def test_events_are_replayed_by_code_in_pages(
    ingest: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.quarantine.api.routes.AT_ONCE", 2)
    await ingest.send(*(event(n, code=7) for n in range(1, 4)), event(4, ts=0))
    await ingest.send(event(1))

    async def replay(**body: Any) -> Any:
        return (await ingest.mender.post(f"{QUARANTINE}/replay", json=body)).json()

    first = await replay(code="bad_text")
    rest = await replay(code="bad_text", after=first["next"])

    counts = dict.fromkeys(("mended", "duplicates", "cutShort", "alreadyDecided"), 0)
    assert first | {"next": None} == {"ok": True, "stillWrong": 2, "next": None} | counts
    assert (rest["stillWrong"], rest["next"]) == (1, None)


async def test_changed_settings_accept_replayed_events(ingest: Service) -> None:
    old = NOON - timedelta(days=15 * 365)
    await ingest.send(event(1, ts=int(old.timestamp() * 1000)), event(2, code=7))
    believing = ingest.deps.settings.model_copy(update={"not_before": old.date()})
    assert (await decide(ingest, "replay"))[0].status_code == 422
    ingest.change(settings=believing)

    answer = (await ingest.mender.post(f"{QUARANTINE}/replay", json={})).json()

    assert (answer["mended"], answer["stillWrong"]) == (1, 1)
    assert [scan.scanned_at for scan in await events_in(ingest.store, ScanRecorded)] == [old]


async def test_an_event_outside_the_quarantine_is_404(ingest: Service) -> None:
    await ingest.send(event(1))
    scan = identity.scan_event(identity.namespace("demo"), ScanId(UUID(uuid(1))))
    for one in (UUID(int=1), "nothing", "401", scan):
        answers = [
            await ingest.mender.get(f"{QUARANTINE}/{one}"),
            (await decide(ingest, "mend", patch(), one))[0],
            (await decide(ingest, "replay", None, one))[0],
            (await decide(ingest, "drop", {"reason": "x"}, one))[0],
        ]
        for answer in answers:
            assert answer.status_code == 404, one
            assert answer.json() == {"detail": "No such event is in quarantine."}


async def test_a_mended_event_counts_at_once(ingest: Service) -> None:
    await ingest.send(event(1, code=7))

    answer, body = await decide(ingest, "mend", patch(code="7"))

    token = answer.headers["x-consistency-token"]
    done = {"ok": True, "status": "mended", "scanId": uuid(1), "duplicate": False}
    assert (answer.status_code, body) == (200, done)
    assert (await ingest.get(STATE, **DAY))["summary"]["items"] == 1
    assert await ingest.get(QUARANTINE) == {"events": [], "total": 0, "counts": {}}
    listed = await ingest.mender.get(
        f"{QUARANTINE}?status=mended", headers={"X-Consistency-Token": token}
    )
    (inspected,) = listed.json()["events"]
    assert (inspected["status"], inspected["scanId"], inspected["decidedBy"]) == (
        "mended",
        uuid(1),
        "mender",
    )
    assert inspected["decidedAt"] == "31.10.2025 12:00:00"
    known = await ingest.device.post(VERIFY, json={"uuids": [uuid(1)]})
    assert known.json()["present"] == [uuid(1)]
    assert ("quarantine", token) in ingest.read_models.waited_for


async def test_a_mended_scan_has_its_original_receive_time(ingest: Service) -> None:
    await ingest.send(event(1, code=7, ts=NOON_MS + 3_600_000))
    ingest.clock.advance(days=3)

    await decide(ingest, "mend", event(1, code="7", ts=NOON_MS + 3_600_000))

    (row,) = (await ingest.get(RAW, **DAY))["logs"]
    assert (row["receivedAtMs"], row["tsMs"], row["skewed"]) == (NOON_MS, NOON_MS, True)


async def test_remaining_faults_are_named_by_field_and_nothing_is_stored(
    ingest: Service,
) -> None:
    await ingest.send(event(1, code=7))

    answer, refusal = await decide(ingest, "mend", patch(code=401, operator="x" * 101))

    too_long = "operator is longer than 100 characters"
    assert answer.status_code == 422
    assert refusal == {
        "detail": "code must be a text",
        "code": "bad_text",
        "wrong": [
            {"field": "operator", "code": "too_long", "reason": too_long},
            {"field": "code", "code": "bad_text", "reason": "code must be a text"},
        ],
    }
    assert len((await ingest.get(QUARANTINE))["events"]) == 1


async def test_a_second_decision_is_refused_and_gets_the_first_one(ingest: Service) -> None:
    await ingest.send(event(1, code=7))

    _, first = await decide(ingest, "drop", {"reason": "a test"})
    later = [
        await decide(ingest, "mend", patch(code="7")),
        await decide(ingest, "mend", patch(code=8)),
        await decide(ingest, "replay"),
        await decide(ingest, "drop", {"reason": "another"}),
    ]

    assert first == {"ok": True, "status": "dropped", "scanId": None, "duplicate": False}
    known = await ingest.device.post(VERIFY, json={"uuids": [uuid(1)]})
    assert known.json()["present"] == [uuid(1)]
    for answer, body in later:
        assert answer.status_code == 409
        assert body == {
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


async def test_an_event_can_be_mended_before_the_read_model_contains_it(ingest: Service) -> None:
    await ingest.device.post(BATCH, json={"events": [event(1, code=7)]})

    seen = await ingest.mender.get(f"{QUARANTINE}/{FIRST}")
    done = await ingest.mender.post(f"{QUARANTINE}/{FIRST}/mend", json=patch(code="7"))
    after = await ingest.mender.get(f"{QUARANTINE}/{FIRST}")

    assert (seen.json()["status"], done.status_code) == ("open", 200)
    assert after.json()["status"] == "mended"
