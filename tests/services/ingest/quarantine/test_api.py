"""What could not be understood, for those who look after it, and what they decide."""

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

    (kept,) = listed["events"]
    assert (listed["total"], listed["counts"]) == (1, {"bad_uuid": 1})
    assert (kept["uuid"], kept["code"], kept["status"]) == (None, "bad_uuid", "open")
    assert kept["raw"] == '{"uuid": "x", "code": "\\u0000"}'
    assert kept["rawLength"] == len(kept["raw"])
    assert (kept["receivedAt"], kept["receivedAtMs"]) == ("31.10.2025 12:00:00", NOON_MS)


async def test_an_event_is_inspected_in_full(ingest: Service) -> None:
    await ingest.send(event(1, code=7))
    ingest.clock.advance(hours=1)
    await decide(ingest, "drop", {"reason": "a test"})

    kept = await ingest.get(f"{QUARANTINE}/{FIRST}")

    assert kept["value"] == json.loads(kept["raw"]) == event(1, code=7)
    assert (kept["whole"], kept["acceptable"]) == (True, False)
    assert kept["wrong"] == [{"field": "code", "code": "bad_text", "reason": "code must be a text"}]
    assert [(m["what"], m["at"], m["by"], m["reason"]) for m in kept["history"]] == [
        ("quarantined", "31.10.2025 12:00:00", "device-1", "code must be a text"),
        ("dropped", "31.10.2025 13:00:00", "mender", "a test"),
    ]


async def test_what_no_json_reader_would_take_is_still_shown_as_text(ingest: Service) -> None:
    content = b'{"events":[{"ts":NaN,"uuid":"x"},{"code":"\\ud800","uuid":"y"},7]}'
    await ingest.device.post(BATCH, content=content)

    listed = (await ingest.get(QUARANTINE))["events"]
    kept = [await ingest.get(f"{QUARANTINE}/{one['id']}") for one in listed]

    assert {one["raw"]: one["value"] for one in kept} == {
        '{"ts": NaN, "uuid": "x"}': None,
        '{"code": "\\ud800", "uuid": "y"}': {"code": "\ud800", "uuid": "y"},
        "7": 7,
    }


async def test_an_event_of_which_only_the_start_was_kept_is_mended_as_a_whole(
    ingest: Service,
) -> None:
    await ingest.send(event(1, details="x" * 300_000))

    kept = await ingest.get(f"{QUARANTINE}/{FIRST}")
    again, refusal = await decide(ingest, "replay")
    patched, _ = await decide(ingest, "mend", patch(details=""))
    whole, _ = await decide(ingest, "mend", event(1))

    assert (kept["whole"], kept["value"], kept["acceptable"]) == (False, None, False)
    assert [one.status_code for one in (again, patched, whole)] == [409, 409, 200]
    assert refusal == {
        "detail": "Only the start of this event was kept, so it must be corrected as a whole.",
        "code": "CutShort",
    }


async def test_events_are_tried_again_by_code_some_at_a_time(
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


async def test_a_change_of_settings_lets_events_pass(ingest: Service) -> None:
    old = NOON - timedelta(days=15 * 365)
    await ingest.send(event(1, ts=int(old.timestamp() * 1000)), event(2, code=7))
    believing = ingest.deps.settings.model_copy(update={"not_before": old.date()})
    assert (await decide(ingest, "replay"))[0].status_code == 422
    ingest.change(settings=believing)

    answer = (await ingest.mender.post(f"{QUARANTINE}/replay", json={})).json()

    assert (answer["mended"], answer["stillWrong"]) == (1, 1)
    assert [scan.scanned_at for scan in await events_in(ingest.store, ScanRecorded)] == [old]


async def test_what_is_in_no_quarantine_is_not_found(ingest: Service) -> None:
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


async def test_an_event_is_mended_and_counts_at_once(ingest: Service) -> None:
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
    (kept,) = listed.json()["events"]
    assert (kept["status"], kept["scanId"], kept["decidedBy"]) == ("mended", uuid(1), "mender")
    assert kept["decidedAt"] == "31.10.2025 12:00:00"
    known = await ingest.device.post(VERIFY, json={"uuids": [uuid(1)]})
    assert known.json()["present"] == [uuid(1)]
    assert ("quarantine", token) in ingest.read_models.asked


async def test_a_mended_scan_keeps_the_moment_it_was_received(ingest: Service) -> None:
    await ingest.send(event(1, code=7, ts=NOON_MS + 3_600_000))
    ingest.clock.advance(days=3)

    await decide(ingest, "mend", event(1, code="7", ts=NOON_MS + 3_600_000))

    (row,) = (await ingest.get(RAW, **DAY))["logs"]
    assert (row["receivedAtMs"], row["tsMs"], row["skewed"]) == (NOON_MS, NOON_MS, True)


async def test_what_is_still_wrong_is_named_field_by_field_and_nothing_written(
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


async def test_a_decision_is_taken_once_and_shown_to_who_comes_later(ingest: Service) -> None:
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


async def test_it_works_before_the_read_model_knows_the_event(ingest: Service) -> None:
    await ingest.device.post(BATCH, json={"events": [event(1, code=7)]})

    seen = await ingest.mender.get(f"{QUARANTINE}/{FIRST}")
    done = await ingest.mender.post(f"{QUARANTINE}/{FIRST}/mend", json=patch(code="7"))
    after = await ingest.mender.get(f"{QUARANTINE}/{FIRST}")

    assert (seen.json()["status"], done.status_code) == ("open", 200)
    assert after.json()["status"] == "mended"
