"""Taking items back, and what was taken back.

Longer than most: three ways to remove, and their refusals side by side.
"""

from typing import Any

import pytest
from httpx import AsyncClient

from contracts.ingest import IngestEvent
from libs.eventsourcing.store import EventStore
from tests.services.ingest.taking_back import (
    BATCH,
    BULK,
    DELETIONS,
    RAW,
    REMOVE,
    STATE,
    TODAY,
    event,
    send,
    uuid,
)
from tests.services.ingest.told import Fresh, Projector


async def test_one_item_is_removed_from_its_box_and_counted_no_longer(
    device: AsyncClient, remover: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    await send(device, projector, event(1), event(2), event(3, box="ivancov/9"))
    asked = {"operator": "vera", "box": "ivancov/8", "code": "777", "reason": "брак"}

    answer = await remover.post(REMOVE, json=asked)
    await projector.catch_up()

    assert (answer.status_code, answer.json()) == (
        200,
        {"ok": True, "message": "Товар 777 удален из короба ivancov/8", "removed_count": 1},
    )
    assert answer.headers["x-consistency-token"]
    state = (await viewer.get(STATE, params=TODAY)).json()
    assert (state["summary"]["items"], state["summary"]["removed"]) == (2, 1)
    assert [row["uuid"] for row in state["feed"] if row["type"] == "ITEM"] == [uuid(3), uuid(1)]
    raw = (await viewer.get(RAW, params=TODAY)).json()
    assert raw["total"] == len(raw["logs"]) == 3
    (audit,) = [row for row in raw["logs"] if row["type"] == "REMOVE"]
    assert (audit["operator"], audit["client"], audit["city"]) == ("vera", "ivancov", "Novosem")
    assert (audit["box"], audit["code"], audit["details"]) == ("ivancov/8", "777", "брак")
    assert audit["source"] == "dashboard"


async def test_nothing_to_remove_is_200_and_not_ok(
    remover: AsyncClient, store: EventStore[IngestEvent]
) -> None:
    single = await remover.post(REMOVE, json={"operator": "vera", "box": "b", "code": "401"})
    listed = await remover.post(BULK, json={"operator": "vera", "uuids": [uuid(1)]})
    nothing = await remover.post(BULK, json={"operator": "vera", "uuids": []})

    assert single.status_code == listed.status_code == nothing.status_code == 200
    assert (single.json()["ok"], single.json()["removed_count"]) == (False, 0)
    assert "401" not in single.text
    assert listed.json() == nothing.json()
    assert listed.json() == {
        "ok": False,
        "message": "Не найдены события с указанными UUID",
        "removed_count": 0,
    }
    assert [page async for page in store.log.read_all()] == []


async def test_many_items_are_removed_by_any_spelling_of_their_uuids(
    device: AsyncClient, remover: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    await send(device, projector, event(1), event(2), event(3, type="BOX", code="ivancov/8"))
    uuids = [uuid(1).upper(), uuid(2).replace("-", ""), uuid(2), uuid(3), uuid(9)]

    answer = await remover.post(BULK, json={"operator": "vera", "uuids": uuids})
    await projector.catch_up()
    again = await remover.post(BULK, json={"operator": "vera", "uuids": uuids})

    assert answer.json() == {"ok": True, "message": "Удалено 2 товаров", "removed_count": 2}
    assert (again.json()["ok"], again.json()["removed_count"]) == (False, 0)
    state = (await viewer.get(STATE, params=TODAY)).json()
    assert (state["summary"]["items"], state["summary"]["opens"]) == (0, 1)
    assert (state["summary"]["removed"], state["clients"][0]["removed"]) == (2, 2)


async def test_who_has_nothing_left_is_no_longer_listed(
    device: AsyncClient, remover: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    await send(device, projector, event(1), event(2, operator="boris", client="petrov", city="R"))

    await remover.post(BULK, json={"operator": "vera", "uuids": [uuid(2)]})
    await projector.catch_up()

    state = (await viewer.get(STATE, params=TODAY)).json()
    # The audit itself is vera's doing, for petrov in R.
    assert state["operatorsList"] == ["anna", "vera"]
    assert {one["operator"]: one["online"] for one in state["operators"]} == {
        "anna": True,
        "vera": False,
    }
    filtered = (await viewer.get(STATE, params=TODAY | {"operator": "boris"})).json()
    assert filtered["operators"] == filtered["clients"] == filtered["feed"] == []
    assert (filtered["summary"]["items"], filtered["summary"]["removed"]) == (0, 1)
    assert (await viewer.get(RAW, params=TODAY | {"operator": "boris"})).json()["total"] == 0


async def test_an_item_just_scanned_can_be_removed_as_soon_as_it_is_readable(
    device: AsyncClient, remover: AsyncClient, projector: Projector, fresh: Fresh
) -> None:
    await device.post(BATCH, json={"events": [event(1)]})
    asked = {"operator": "vera", "box": "ivancov/8", "code": "777"}

    fresh.answer = False
    not_yet = await remover.post(REMOVE, json=asked)
    await projector.catch_up()
    fresh.answer = True
    then = await remover.post(REMOVE, json=asked)

    assert (not_yet.status_code, "retry-after" in not_yet.headers) == (503, True)
    assert then.json()["removed_count"] == 1
    assert ("scan_log", "now") in fresh.asked


async def test_a_repeat_with_an_idempotency_key_removes_no_second_unit(
    device: AsyncClient, remover: AsyncClient, viewer: AsyncClient, projector: Projector
) -> None:
    await send(device, projector, event(1), event(2))
    asked = {"operator": "vera", "box": "ivancov/8", "code": "777"}
    key = {"Idempotency-Key": "0b9f"}

    first = await remover.post(REMOVE, json=asked, headers=key)
    await projector.catch_up()
    again = await remover.post(REMOVE, json=asked, headers=key)
    await projector.catch_up()

    assert first.json() == again.json()
    assert first.headers["x-consistency-token"] == again.headers["x-consistency-token"]
    assert (await viewer.get(STATE, params=TODAY)).json()["summary"]["items"] == 1


GOOD_ONE = {"operator": "vera", "box": "b", "code": "c"}
GOOD_MANY = {"operator": "vera", "uuids": []}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (REMOVE, b"not json 401"),
        (REMOVE, b""),
        (REMOVE, b"[]"),
        (REMOVE, b"{}"),
        (REMOVE, b"[" * 5000),
        (REMOVE, b'{"operator":"\xff","box":"b","code":"c"}'),
        (REMOVE, b'{"operator":"\\ud800","box":"b","code":"c"}'),
        (REMOVE, b'{"operator":"v","box":"b","code":"\\u0000 401"}'),
        (REMOVE, GOOD_ONE | {"operator": ""}),
        (REMOVE, GOOD_ONE | {"operator": "  "}),
        (REMOVE, GOOD_ONE | {"operator": None}),
        (REMOVE, GOOD_ONE | {"code": 401}),
        (REMOVE, GOOD_ONE | {"box": "401" * 34}),
        (REMOVE, GOOD_ONE | {"code": "4" * 501}),
        (REMOVE, GOOD_ONE | {"reason": "401" * 1000}),
        (BULK, GOOD_MANY | {"operator": ""}),
        (BULK, GOOD_MANY | {"uuids": ["uuid1 401"]}),
        (BULK, GOOD_MANY | {"uuids": [401]}),
        (BULK, GOOD_MANY | {"uuids": [uuid(1)] * 1001}),
        (BULK, GOOD_MANY | {"uuids": None}),
        (BULK, {"operator": "vera"}),
    ],
)
async def test_what_is_no_removal_is_422_and_quoted_nowhere(
    remover: AsyncClient, path: str, body: bytes | dict[str, Any]
) -> None:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}

    answer = await remover.post(path, **sent)

    assert answer.status_code == 422
    for fault in answer.json()["detail"]:
        assert set(fault) <= {"type", "loc", "msg", "input"}
        assert fault["loc"][0] == "body"
    assert "401" not in answer.text
    assert "403" not in answer.text


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "", "application/json"])
async def test_a_removal_is_json_whatever_its_content_type(
    device: AsyncClient, remover: AsyncClient, projector: Projector, content_type: str
) -> None:
    await send(device, projector, event(1))
    body = f'\ufeff{{"operator":"vera","uuids":["{uuid(1)}"],"more":1}}'.encode()

    answer = await remover.post(BULK, content=body, headers={"content-type": content_type})

    assert answer.json()["removed_count"] == 1


async def test_only_who_may_remove_removes_and_only_their_own(
    device: AsyncClient,
    viewer: AsyncClient,
    nobody: AsyncClient,
    stranger: AsyncClient,
    projector: Projector,
) -> None:
    await send(device, projector, event(1))
    body = {"operator": "vera", "uuids": [uuid(1)], "box": "ivancov/8", "code": "777"}

    for client, status in ((device, 403), (viewer, 403), (nobody, 401)):
        assert (await client.post(REMOVE, json=body)).status_code == status
        assert (await client.post(BULK, json=body)).status_code == status
        assert (await client.delete(f"/api/v1/events/{uuid(1)}")).status_code == status
    assert (await device.get(DELETIONS)).status_code == 403

    assert (await stranger.post(REMOVE, json=body)).json()["ok"] is False
    assert (await stranger.post(BULK, json=body)).json()["ok"] is False
    assert (await stranger.delete(f"/api/v1/events/{uuid(1)}")).status_code == 404
    await projector.catch_up()
    raw = (await viewer.get(RAW, params=TODAY)).json()
    assert [row["uuid"] for row in raw["logs"]] == [uuid(1)]
    assert (await stranger.get(DELETIONS, params=TODAY)).json() == {"deletions": [], "total": 0}
