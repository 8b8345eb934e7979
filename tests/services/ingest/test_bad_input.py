"""Bad input gets a clear response, loses nothing and breaks nothing."""

import asyncio
import json
from typing import Any, Final
from uuid import UUID

import pytest

from libs.testing.extremes import assert_extremes_are_answered
from libs.testing.routes import assert_incomplete_bodies_time_out, routes_of
from services.ingest.context import LARGE_BODIES_BYTES
from services.ingest.scans.handlers.body import LARGE_BODY
from tests.services.ingest.history import NOON_MS, batch, event, events_in, uuid
from tests.services.ingest.service import (
    BATCH,
    BOXES,
    BULK,
    DELETIONS,
    QUARANTINE,
    RAW,
    REMOVE,
    STATE,
    VERIFY,
    Service,
)

SQL = "'; DROP TABLE events; --"
HTML = "<img src=x onerror=alert('401')>"
BODY: Final = ["body"]
EVENTS: Final = ["body", "events"]
SYNTAX: Final = ["body", 0]

NO_BATCH: dict[str, tuple[bytes, str, list[Any]]] = {
    "XML": (b"<xml/>", "json_invalid", SYNTAX),
    "nothing": (b"", "json_invalid", SYNTAX),
    "half of it": (b'{"events":[{"uuid":', "json_invalid", SYNTAX),
    "a list cut short": (b'{"events":[}', "json_invalid", SYNTAX),
    "nested without end": (b"[" * 200_000, "json_invalid", SYNTAX),
    "events nested": (b'{"events":[' + b"[" * 10**5 + b"]" * 10**5 + b"]}", "json_invalid", SYNTAX),
    "a list": (b"[]", "model_attributes_type", BODY),
    "null": (b"null", "model_attributes_type", BODY),
    "no events": (b"{}", "missing", EVENTS),
    "null events": (b'{"events":null}', "list_type", EVENTS),
    "a number": (b'{"events":7}', "list_type", EVENTS),
    "an object": (b'{"events":{"0":1}}', "list_type", EVENTS),
    "an empty list": (b'{"events":[]}', "too_short", EVENTS),
    "101 events": (batch(*[event()] * 101), "too_long", EVENTS),
}


async def test_a_body_that_is_no_batch_is_422_in_the_original_shape(ingest: Service) -> None:
    for name, (body, kind, where) in NO_BATCH.items():
        answer = await ingest.device.post(BATCH, content=body)

        assert (answer.status_code, set(answer.json())) == (422, {"detail"}), name
        (fault,) = answer.json()["detail"]
        assert (fault["type"], fault["loc"]) == (kind, where), name
        assert set(fault) <= {"type", "loc", "msg", "input", "ctx"}, name
        assert not [one for one in ("401", "403", "Traceback", "SELECT") if one in answer.text]
        assert answer.headers["x-request-id"], name
    assert await events_in(ingest.store) == []


async def test_a_body_beyond_the_limit_is_413(ingest: Service) -> None:
    for body in (b" " * (10 * 1024 * 1024 + 1), b'{"events":["' + b"x" * 10_500_000 + b'"]}'):
        answer = await ingest.device.post(BATCH, content=body)

        assert (answer.status_code, set(answer.json())) == (413, {"detail"})


async def test_the_limit_of_bodies_decoded_at_once_is_a_tenth(ingest: Service) -> None:
    id_ = str(UUID(int=1))
    for path in (REMOVE, BULK, *(f"{QUARANTINE}/{one}" for one in (f"{id_}/mend", f"{id_}/drop"))):
        answer = await ingest.mender.post(path, content=b'{"uuids":[' + b"1," * 600_000 + b"1]}")

        assert (answer.status_code, set(answer.json())) == (413, {"detail"}), path
        assert answer.headers["x-request-id"]


async def test_large_bodies_wait_for_each_other_and_small_ones_do_not(ingest: Service) -> None:
    large = batch(event(1, x="x" * 2 * LARGE_BODY))
    async with ingest.deps.large_bodies.hold(LARGE_BODIES_BYTES):
        waiting = asyncio.create_task(ingest.device.post(BATCH, content=large))
        assert (await ingest.device.post(BATCH, content=batch(event(2)))).json()["inserted"] == 1
        assert (await ingest.device.post(VERIFY, json={"uuids": [uuid(1)]})).json()["present"] == []
        assert not waiting.done()

    assert (await waiting).json()["inserted"] == 1


async def test_verify_takes_one_to_a_thousand_texts(ingest: Service) -> None:
    for uuids, kind in (
        ([], "value_error"),
        ([uuid(1)] * 1001, "too_long"),
        ([7], "string_type"),
        ("x", "list_type"),
        (None, "list_type"),
    ):
        answer = await ingest.device.post(VERIFY, json={"uuids": uuids})

        assert answer.status_code == 422
        assert answer.json()["detail"][0]["type"] == kind
    assert (await ingest.device.post(VERIFY, json={"uuids": [uuid(1)] * 1000})).status_code == 200


ODD: dict[str, dict[str, Any]] = {
    "a bad uuid": {"uuid": "not-a-uuid"},
    "a uuid that is a number": {"uuid": 7},
    "NUL": {"code": "a\0b"},
    "a lone surrogate": {"operator": "\udfff"},
    "the year 1970": {"ts": 0},
    "a broken time": {"ts": NOON_MS + 0.5},
    "a time without end": {"ts": 10**30},
    "a type that is a list": {"type": ["ITEM"]},
    "details beyond all measure": {"details": "x" * 70_000},
}


async def test_one_bad_event_neither_fails_nor_stops_the_batch(ingest: Service) -> None:
    bad: list[Any] = [event(n, **changes) for n, changes in enumerate(ODD.values(), 1)]
    bad += [None, 7, "ITEM", [], [[]], True, {}]

    answer = await ingest.send(event(98), *bad, event(99))

    assert (answer["ok"], answer["inserted"], answer["skipped"]) == (True, 2, 0)
    assert len(answer["errors"]) == len(bad)
    assert all(isinstance(error, str) for error in answer["errors"])
    body = {"uuids": [uuid(98), uuid(99)]}
    assert (await ingest.device.post(VERIFY, json=body)).json()["present"] == body["uuids"]
    listed = (await ingest.get(QUARANTINE))["events"]
    raw = [(await ingest.get(f"{QUARANTINE}/{one['id']}"))["raw"] for one in listed]
    assert sorted(raw) == sorted(map(json.dumps, bad))


HOSTILE = [SQL, HTML, "=1+1", "٣\u202e", "\x07\x1b[31m", "%s%n{0}$1"]
NAMES = ("type", "operator", "client", "city", "box", "code", "details", "source")


async def test_hostile_text_in_every_field_is_stored_and_returned_unchanged(
    ingest: Service,
) -> None:
    sent = [event(n, **dict.fromkeys(NAMES, text)) for n, text in enumerate(HOSTILE)]
    await ingest.send(*sent)

    for one in sent:
        text = one["code"]
        params = {"date": "2025-10-31", "operator": text, "client": text, "city": text}
        (row,) = (await ingest.get(RAW, **params, type=text))["logs"]
        assert {name: row[name] for name in NAMES} == {name: one[name] for name in NAMES}
        for path in (RAW, STATE, BOXES):
            answer = await ingest.viewer.get(path, params=params)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def paths_that_take(ingest: Service, parameter: str) -> list[str]:
    return [
        route.path
        for route in routes_of(ingest.app.openapi())
        if parameter in [one["name"] for one in route.parameters] and route.method == "GET"
    ]


SENSELESS: list[dict[str, str]] = [
    {"date": SQL},
    {"date": '2025-10-31"; filename="x'},
    {"date": "2025-10-31", "date_end": "2025-10-31\r\nX: y"},
    {"date": "2025-01-01", "date_end": "2025-10-31"},
    {"operator": "a\0b"},
    {"client": "a\0b"},
    {"city": "a\0b"},
]


async def test_an_invalid_query_is_400_with_a_sentence(ingest: Service) -> None:
    paths = paths_that_take(ingest, "date")
    assert len(paths) == 9
    for params in SENSELESS:
        for path in paths:
            answer = await ingest.viewer.get(path, params=params)
            assert answer.status_code == 400, (path, params)
            assert isinstance(answer.json()["detail"], str), (path, params)
            assert "content-disposition" not in answer.headers, (path, params)


async def test_an_odd_but_valid_query_is_answered(ingest: Service) -> None:
    await ingest.send(event(1))
    for params in ({"date": "9999-12-31"}, {"date": "0001-01-01"}, {"client": HTML}):
        for path in set(paths_that_take(ingest, "date")) - {"/api/v1/dashboard/stream"}:
            answer = await ingest.viewer.get(path, params=params)
            assert answer.status_code == 200, (path, params)
            assert "ivancov" not in answer.text, (path, params)


async def test_values_that_no_column_can_hold_are_refused_on_every_route(ingest: Service) -> None:
    usual = {"uuid": uuid(1), "id": uuid(1)}
    for client in (ingest.device, ingest.mender):
        requests = await assert_extremes_are_answered(
            client,
            ingest.app.openapi(),
            usual=usual,
            except_for=[("GET", "/api/v1/dashboard/stream")],
        )
        assert requests > 100


BOUNDS: dict[tuple[str, str], tuple[int, int]] = {
    (RAW, "limit"): (1, 10_000),
    (RAW, "offset"): (0, 10_000_000),
    (BOXES, "limit"): (1, 5000),
    (BOXES, "items"): (0, 1000),
    (BOXES, "offset"): (0, 10_000_000),
    (DELETIONS, "limit"): (1, 10_000),
    (DELETIONS, "offset"): (0, 10_000_000),
    (QUARANTINE, "limit"): (1, 1000),
    (QUARANTINE, "offset"): (0, 10_000_000),
}


async def test_values_out_of_bounds_are_422_in_the_original_shape(ingest: Service) -> None:
    refused: list[tuple[str, dict[str, Any]]] = []
    for (path, name), (least, most) in BOUNDS.items():
        for fit in (least, most):
            assert (await ingest.viewer.get(path, params={name: fit})).status_code == 200, path
        refused += [(path, {name: odd}) for odd in (least - 1, most + 1, "many", "9" * 20)]
    refused += [(QUARANTINE, {"status": odd}) for odd in ("lost", SQL)]
    refused += [(path, {"operator": "x" * 5000}) for path in paths_that_take(ingest, "operator")]

    for path, params in refused:
        answer = await ingest.viewer.get(path, params=params)
        assert answer.status_code == 422, (path, params)
        assert {"type", "loc", "msg", "input"} <= set(answer.json()["detail"][0]), (path, params)
    assert (await ingest.viewer.get(QUARANTINE, params={"code": "a\0b"})).status_code == 400


async def test_an_invalid_instant_is_400(ingest: Service) -> None:
    for path in (STATE, BOXES):
        for as_of in ("2025-10-31", "٢٠٢٥-10-31T12:00:00Z", "a\0b"):
            answer = await ingest.viewer.get(path, params={"as_of": as_of})

            assert answer.status_code == 400, as_of
            assert as_of not in answer.json()["detail"]


ONE: dict[str, Any] = {"operator": "vera", "box": "b", "code": "c"}
MANY: dict[str, Any] = {"operator": "vera", "uuids": []}
NO_JSON = [b"not json 401", b"", b"[]", b"{}", b"[" * 5000]
NO_REMOVAL: list[tuple[str, bytes | dict[str, Any]]] = [
    *((path, body) for path in (REMOVE, BULK) for body in NO_JSON),
    *((path, {"operator": ""}) for path in (REMOVE, BULK)),
    *((path, {"operator": "a", "uuids": ["x"], "box": 7, "code": None}) for path in (REMOVE, BULK)),
    (REMOVE, b'{"operator":"\xff","box":"b","code":"c"}'),
    (REMOVE, b'{"operator":"\\ud800","box":"b","code":"c"}'),
    (REMOVE, b'{"operator":"v","box":"b","code":"\\u0000 401"}'),
    *((REMOVE, ONE | {"operator": odd}) for odd in ("", "  ", None)),
    (REMOVE, ONE | {"code": 401}),
    (REMOVE, ONE | {"box": "401" * 34}),
    (REMOVE, ONE | {"code": "4" * 501}),
    (REMOVE, ONE | {"reason": "401" * 1000}),
    (BULK, MANY | {"operator": ""}),
    *((BULK, MANY | {"uuids": odd}) for odd in (["uuid1 401"], [401], [uuid(1)] * 1001, None)),
    (BULK, {"operator": "vera"}),
]


async def test_a_body_that_is_no_removal_is_422_and_not_quoted(ingest: Service) -> None:
    for path, body in NO_REMOVAL:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        answer = await ingest.remover.post(path, content=content)

        assert answer.status_code == 422, body
        for fault in answer.json()["detail"]:
            assert set(fault) <= {"type", "loc", "msg", "input"}, body
            assert fault["loc"][0] == "body", body
        assert "401" not in answer.text
        assert "403" not in answer.text
    assert await events_in(ingest.store) == []


@pytest.mark.parametrize("text", ["text/plain;charset=UTF-8", "", "application/json"])
async def test_a_body_is_json_whatever_its_content_type(ingest: Service, text: str) -> None:
    headers = {"content-type": text}

    sent = await ingest.device.post(BATCH, content=batch(event(1)), headers=headers)
    body = f'\ufeff{{"operator":"vera","uuids":["{uuid(1)}"],"more":1}}'.encode()
    removed = await ingest.remover.post(BULK, content=body, headers=headers)

    assert (sent.json()["inserted"], removed.json()["removed_count"]) == (1, 1)


async def test_an_invalid_correction_or_reason_is_refused(ingest: Service) -> None:
    await ingest.send(event(1, ts="noon"))
    (one,) = (await ingest.get(QUARANTINE))["events"]
    path = f"{QUARANTINE}/{one['id']}"

    for body in (b"", b"{", b"7", b"[]", b'"\xff"', b"[" * 100_000):
        assert (await ingest.mender.post(f"{path}/mend", content=body)).status_code == 422, body[:9]
    for odd in ("\0", "\ud800", "x" * 501, 7, None, {"a": [float("nan")]}):
        whole = json.dumps(event(1, operator=odd)).encode()
        assert (await ingest.mender.post(f"{path}/mend", content=whole)).status_code == 422
        reason = json.dumps({"reason": odd}).encode()
        assert (await ingest.mender.post(f"{path}/drop", content=reason)).status_code == 422


async def test_no_route_waits_for_a_body_that_never_arrives(ingest: Service) -> None:
    app = ingest.built(body_seconds=0.05)

    late = await assert_incomplete_bodies_time_out(app, ingest.stranger.headers)

    assert {BATCH, BULK} <= {*late}
