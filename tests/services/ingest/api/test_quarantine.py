"""What could not be understood, for those who look after it."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from tests.services.ingest.api.test_events import BATCH, event
from tests.services.ingest.told import NOON, NOON_MS, Projector

QUARANTINE = "/api/v1/quarantine"
STATE = "/api/v1/dashboard/state?date=2025-10-31"


async def sent(device: AsyncClient, projector: Projector, *events: Any) -> None:
    answer = await device.post(BATCH, json={"events": events})
    assert answer.json()["errors"]
    await projector.catch_up()


async def ids(viewer: AsyncClient) -> list[str]:
    return [one["id"] for one in (await viewer.get(f"{QUARANTINE}?status=all")).json()["events"]]


async def test_quarantined_events_are_listed_word_for_word(
    device: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    await sent(device, projector, {"uuid": "x", "code": "\0"})

    found = (await viewer.get(QUARANTINE)).json()

    (kept,) = found["events"]
    assert (found["total"], found["counts"]) == (1, {"bad_uuid": 1})
    assert (kept["uuid"], kept["code"], kept["status"]) == (None, "bad_uuid", "open")
    assert kept["raw"] == '{"uuid": "x", "code": "\\u0000"}'
    assert kept["rawLength"] == len(kept["raw"])
    assert (kept["receivedAt"], kept["receivedAtMs"]) == ("31.10.2025 12:00:00", NOON_MS)


async def test_an_event_is_inspected_in_full(
    device: AsyncClient, mender: AsyncClient, projector: Projector, clock: Any
) -> None:
    await sent(device, projector, event(1, code=7))
    (kept_id,) = await ids(mender)
    clock.pass_by(hours=1)
    await mender.post(f"{QUARANTINE}/{kept_id}/drop", json={"reason": "a test"})

    found = (await mender.get(f"{QUARANTINE}/{kept_id}")).json()

    assert found["value"] == event(1, code=7)
    assert json.loads(found["raw"]) == event(1, code=7)
    assert (found["whole"], found["acceptable"]) == (True, False)
    assert found["wrong"] == [
        {"field": "code", "code": "bad_text", "reason": "code must be a text"}
    ]
    assert [(m["what"], m["at"], m["by"], m["reason"]) for m in found["history"]] == [
        ("quarantined", "31.10.2025 12:00:00", "device-1", "code must be a text"),
        ("dropped", "31.10.2025 13:00:00", "mender", "a test"),
    ]


async def test_what_no_json_reader_would_take_is_still_shown_as_text(
    device: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    content = b'{"events":[{"ts":NaN,"uuid":"x"},{"code":"\\ud800","uuid":"y"},7]}'
    await device.post(BATCH, content=content)
    await projector.catch_up()

    found = [(await viewer.get(f"{QUARANTINE}/{kept_id}")).json() for kept_id in await ids(viewer)]

    assert {one["raw"]: one["value"] for one in found} == {
        '{"ts": NaN, "uuid": "x"}': None,
        '{"code": "\\ud800", "uuid": "y"}': {"code": "\ud800", "uuid": "y"},
        "7": 7,
    }


async def test_an_event_of_which_only_the_start_was_kept_is_mended_as_a_whole(
    device: AsyncClient, mender: AsyncClient, projector: Projector
) -> None:
    await sent(device, projector, event(1, details="x" * 300_000))
    (kept_id,) = await ids(mender)

    found = (await mender.get(f"{QUARANTINE}/{kept_id}")).json()
    again = await mender.post(f"{QUARANTINE}/{kept_id}/replay")
    whole = await mender.post(f"{QUARANTINE}/{kept_id}/mend", json=event(1))

    assert (found["whole"], found["value"], found["acceptable"]) == (False, None, False)
    assert (again.status_code, again.json()) == (
        409,
        {
            "detail": "Only the start of this event was kept, so it must be corrected as a whole.",
            "code": "CutShort",
        },
    )
    assert whole.status_code == 200


async def test_events_are_tried_again_by_code_some_at_a_time(
    device: AsyncClient,
    mender: AsyncClient,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.ingest.api.quarantine.AT_ONCE", 2)
    await sent(device, projector, *(event(n, code=7) for n in range(1, 4)), event(4, ts=0))
    await device.post(BATCH, json={"events": [event(1)]})

    first = (await mender.post(f"{QUARANTINE}/replay", json={"code": "bad_text"})).json()
    rest = await mender.post(
        f"{QUARANTINE}/replay", json={"code": "bad_text", "after": first["next"]}
    )

    assert first | {"next": None} == {
        "ok": True,
        "mended": 0,
        "duplicates": 0,
        "stillWrong": 2,
        "cutShort": 0,
        "alreadyDecided": 0,
        "next": None,
    }
    assert (rest.json()["stillWrong"], rest.json()["next"]) == (1, None)


async def test_a_change_of_settings_lets_events_pass(
    device: AsyncClient, mender: AsyncClient, projector: Projector, app: Any
) -> None:
    old = NOON - timedelta(days=15 * 365)
    await sent(device, projector, event(1, ts=int(old.timestamp() * 1000)), event(2, code=7))
    settings = app.state.deps.settings
    believing = settings.model_copy(update={"not_before": old.date()})
    app.state.deps = type(app.state.deps)(
        **{name: getattr(app.state.deps, name) for name in app.state.deps.__slots__}
        | {"settings": believing}
    )

    answer = (await mender.post(f"{QUARANTINE}/replay", json={})).json()

    assert (answer["mended"], answer["stillWrong"]) == (1, 1)


@pytest.mark.parametrize("kept_id", [UUID(int=1), "nothing", "401"])
async def test_what_is_in_no_quarantine_is_not_found(mender: AsyncClient, kept_id: object) -> None:
    answers = [
        await mender.get(f"{QUARANTINE}/{kept_id}"),
        await mender.post(f"{QUARANTINE}/{kept_id}/mend", json={"patch": {}}),
        await mender.post(f"{QUARANTINE}/{kept_id}/replay"),
        await mender.post(f"{QUARANTINE}/{kept_id}/drop", json={"reason": "x"}),
    ]

    for answer in answers:
        assert answer.status_code == 404
        assert answer.json() == {"detail": "No such event is in quarantine."}


async def test_strangers_and_those_who_may_only_look_change_nothing(
    device: AsyncClient,
    viewer: AsyncClient,
    stranger: AsyncClient,
    projector: Projector,
) -> None:
    await sent(device, projector, event(1, code=7))
    (kept_id,) = await ids(viewer)

    assert (await stranger.get(f"{QUARANTINE}/{kept_id}")).status_code == 404
    assert (await stranger.get(QUARANTINE)).json()["total"] == 0
    for client, status in ((viewer, 403), (device, 403), (stranger, 404)):
        for path, body in (
            ("mend", {"patch": {"code": "7"}}),
            ("replay", None),
            ("drop", {"reason": "x"}),
        ):
            answer = await client.post(f"{QUARANTINE}/{kept_id}/{path}", json=body)
            assert answer.status_code == status
    assert (await viewer.post(f"{QUARANTINE}/replay", json={})).status_code == 403
    assert (await device.get(QUARANTINE)).status_code == 403


@pytest.mark.parametrize(
    "query", ["status=lost", "limit=0", "limit=1001", "offset=-1", "code=a%00b"]
)
async def test_a_question_that_makes_no_sense_is_refused(viewer: AsyncClient, query: str) -> None:
    assert (await viewer.get(f"{QUARANTINE}?{query}")).status_code in (400, 422)
