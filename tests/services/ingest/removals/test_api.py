"""Removals over HTTP in three ways, and the list of removed items."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient

from contracts.ingest import ItemRemoved
from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from tests.services.ingest.history import NOON_MS, TODAY, Store, batch, event, events_in, uuid
from tests.services.ingest.service import (
    BATCH,
    BULK,
    DELETIONS,
    RAW,
    REMOVE,
    STATE,
    ReadModels,
    Service,
    open_service,
)

DAY = {"date": str(TODAY.first)}
ONE = {"operator": "vera", "box": "ivancov/8", "code": "777"}


def item(number: int, **changes: Any) -> dict[str, Any]:
    """One of several equal items, each scanned a millisecond after the one before."""
    return event(number, **{"ts": NOON_MS - 1000 + number, "code": "777"} | changes)


async def delete(ingest: Service, spelled: str, **params: str) -> tuple[int, Any]:
    answer = await ingest.remover.delete(f"/api/v1/events/{spelled}", params=params)
    await ingest.read_models.catch_up()
    return answer.status_code, answer.json()


async def test_a_removed_item_leaves_its_box_and_the_counters(ingest: Service) -> None:
    await ingest.send(item(1), item(2), item(3, box="ivancov/9"))

    answer = await ingest.remover.post(REMOVE, json=ONE | {"reason": "брак"})

    assert (answer.status_code, answer.json()) == (
        200,
        {"ok": True, "message": "Товар 777 удален из короба ivancov/8", "removed_count": 1},
    )
    assert answer.headers["x-consistency-token"]
    state = await ingest.get(STATE, **DAY)
    assert (state["summary"]["items"], state["summary"]["removed"]) == (2, 1)
    assert [row["uuid"] for row in state["feed"] if row["type"] == "ITEM"] == [uuid(3), uuid(1)]
    raw = await ingest.get(RAW, **DAY)
    assert raw["total"] == len(raw["logs"]) == 3
    (audit,) = [row for row in raw["logs"] if row["type"] == "REMOVE"]
    assert (audit["operator"], audit["client"], audit["city"]) == ("vera", "ivancov", "Novosem")
    assert (audit["box"], audit["code"], audit["details"]) == ("ivancov/8", "777", "брак")
    assert audit["source"] == "dashboard"


async def test_nothing_to_remove_is_200_and_not_ok(ingest: Service) -> None:
    single = await ingest.remover.post(REMOVE, json={"operator": "vera", "box": "b", "code": "401"})
    listed, nothing = await ingest.remove(uuid(1)), await ingest.remove()

    assert single.status_code == 200
    assert (single.json()["ok"], single.json()["removed_count"]) == (False, 0)
    assert "401" not in single.text
    unknown = {"ok": False, "message": "Не найдены события с указанными UUID", "removed_count": 0}
    assert listed == nothing == unknown
    assert await events_in(ingest.store) == []


async def test_many_items_are_removed_by_any_spelling_of_their_uuids(ingest: Service) -> None:
    await ingest.send(item(1), item(2), item(3, type="BOX", code="ivancov/8"))
    uuids = [uuid(1).upper(), uuid(2).replace("-", ""), uuid(2), uuid(3), uuid(9)]

    answer, again = [await ingest.remove(*uuids) for _ in range(2)]

    assert answer == {"ok": True, "message": "Удалено 2 товаров", "removed_count": 2}
    assert (again["ok"], again["removed_count"]) == (False, 0)
    state = await ingest.get(STATE, **DAY)
    assert (state["summary"]["items"], state["summary"]["opens"]) == (0, 1)
    assert (state["summary"]["removed"], state["clients"][0]["removed"]) == (2, 2)


async def test_a_removal_does_not_depend_on_read_models(
    stores: list[Store], pool: Pool, reading_pool: Pool, clock: Clock
) -> None:
    never = ReadModels(stores[0], pool, "ingest", (), stale=True)
    async with open_service(stores[0], pool, reading_pool, clock, never) as ingest:
        for n in range(0, 1000, 100):
            events = [item(1 + n + m) for m in range(100)]
            await ingest.stranger.post(BATCH, content=batch(*events))
        nothing = await ingest.remover.post(REMOVE, json=ONE)
        await ingest.device.post(BATCH, content=batch(*(item(n) for n in range(1, 6))))
        answers = await asyncio.gather(*(ingest.remover.post(REMOVE, json=ONE) for _ in range(8)))

    assert (nothing.status_code, nothing.json()["ok"]) == (200, False)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sorted(answer.json()["ok"] for answer in answers) == [False] * 3 + [True] * 5
    removed_ids = [one.scan.scan_id for one in await events_in(stores[0], ItemRemoved)]
    assert sorted(map(str, removed_ids)) == [uuid(n) for n in range(1, 6)]
    assert never.waited_for == set()


async def test_a_repeat_with_an_idempotency_key_removes_no_second_item(ingest: Service) -> None:
    await ingest.send(item(1), item(2))

    first, again = [
        await ingest.remover.post(REMOVE, json=ONE, headers={"Idempotency-Key": "0b9f"})
        for _ in range(2)
    ]

    assert first.json() == again.json()
    assert first.headers["x-consistency-token"] == again.headers["x-consistency-token"]
    assert (await ingest.get(STATE, **DAY))["summary"]["items"] == 1


async def keyed(client: AsyncClient, path: str, body: Any, key: str = "0b9f") -> Any:
    answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
    return answer.status_code, answer.json()


LISTED = {"operator": "vera", "uuids": [uuid(1)]}


@pytest.mark.parametrize(
    ("path", "first", "others"),
    [
        (REMOVE, ONE, [{"code": "778"}, {"box": "b"}, {"operator": "olga"}, {"reason": "broken"}]),
        (BULK, LISTED, [{"uuids": [uuid(1), uuid(2)]}, {"uuids": []}, {"operator": "olga"}]),
    ],
    ids=("one", "several"),
)
async def test_an_idempotency_key_is_one_callers_for_one_request(
    ingest: Service, path: str, first: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    await ingest.send(item(1), item(2), item(3), item(4, code="778"))
    done = await keyed(ingest.remover, path, first)
    assert (done[0], done[1]["ok"], done[1]["removed_count"]) == (200, True, 1)

    for body in others:
        status, refusal = await keyed(ingest.remover, path, first | body)
        assert (status, refusal.keys()) == (422, {"detail"}), body
    # The same request in another spelling.
    spelled = {"reason": None, **first}
    if "uuids" in first:
        spelled["uuids"] = [one.upper() for one in first["uuids"]] * 2
    assert await keyed(ingest.remover, path, spelled) == done
    assert (await ingest.get(STATE, **DAY))["summary"]["items"] == 3

    # Another caller's key is another key, and so is the same at another route.
    other = await keyed(ingest.mender, REMOVE, ONE)
    elsewhere = await keyed(
        ingest.remover, BULK if path == REMOVE else REMOVE, {**ONE, "uuids": [uuid(4)]}
    )
    assert (other[1]["ok"], elsewhere[1]["ok"]) == (True, True)
    assert (await ingest.get(STATE, **DAY))["summary"]["items"] == 1


async def test_an_event_is_deleted_by_its_uuid(ingest: Service) -> None:
    await ingest.send(item(1), item(2), item(3, type="CLOSE"))

    named = await delete(ingest, uuid(1).upper(), operator="vera")
    unnamed = await delete(ingest, uuid(2))
    again = await delete(ingest, uuid(1))

    assert named == unnamed == again == (200, {"ok": True})
    rows = (await ingest.get(DELETIONS, **DAY))["deletions"]
    assert {row["event_uuid"]: row["deleted_by"] for row in rows} == {
        uuid(1): "vera",
        uuid(2): "—",
    }


async def test_an_event_that_cannot_be_deleted_is_refused_with_the_reason(ingest: Service) -> None:
    await ingest.send(item(1), item(2, type="CLOSE"))
    await delete(ingest, uuid(1))
    (audit,) = (await ingest.get(RAW, **DAY, type="REMOVE"))["logs"]

    for unknown in (uuid(9), "x", "401", "%00", "1' OR 1=1", "%F0%9F%8D%8E"):
        assert await delete(ingest, unknown) == (404, {"detail": "Event not found"}), unknown
    for unfit in (uuid(2), audit["uuid"]):
        assert await delete(ingest, unfit) == (409, {"detail": "Only items can be removed."})
    assert (await ingest.remove(audit["uuid"]))["removed_count"] == 0


async def test_deletions_have_the_whole_item_and_the_latest_first(ingest: Service) -> None:
    await ingest.send(item(1), item(2), item(3, client="petrov", city=""))
    before = (await ingest.get(RAW, **DAY))["logs"]
    ingest.clock.advance(days=1)
    await ingest.remove(uuid(1), uuid(3))
    ingest.clock.advance(minutes=1)
    await delete(ingest, uuid(2), operator="boris")

    answer = await ingest.get(DELETIONS)

    rows = answer["deletions"]
    assert answer["total"] == 3
    assert [row["event_uuid"] for row in rows] == [uuid(2), uuid(1), uuid(3)]
    moments = [row["deleted_at"] for row in rows][:2]
    assert moments == ["01.11.2025 12:01:00", "01.11.2025 12:00:00"]
    assert {row["event_uuid"]: row["event_data"] for row in rows} == {
        row["uuid"]: row for row in before
    }
    assert len({row["id"] for row in rows}) == 3
    cases: list[tuple[dict[str, Any], list[int]]] = [
        (DAY, []),
        ({"operator": "vera"}, [1, 3]),
        ({"client": "petrov", "city": "—"}, [3]),
        ({"limit": 1, "offset": 1}, [1]),
        ({"date": "31.10.2025", "date_end": "01.11.2025", "client": "ivancov"}, [2, 1]),
    ]
    for params, expected in cases:
        rows = (await ingest.get(DELETIONS, **params))["deletions"]
        assert [row["event_uuid"] for row in rows] == [uuid(n) for n in expected], params
