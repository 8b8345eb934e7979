"""The dashboard: its state, the rows of the log, and the boxes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.services.ingest.history import NOON, NOON_MS, a_scan, event
from tests.services.ingest.service import BOXES, CSV, RAW, STATE, Service

SCAN = {"operator": "anna", "type": "ITEM", "client": "ivancov", "city": "Novosem"} | {
    "code": "2042469234860",
    "uuid": "00000000-0000-0000-0000-000000000007",
}
"""`a_scan(7)` in the words of clients."""


async def test_an_empty_day_has_every_field(ingest: Service) -> None:
    counters = ("items", "opens", "closes", "errors", "autoCloses", "removed")
    assert await ingest.get(STATE) == {
        "generatedAt": "2025-10-31T09:00:00+00:00",
        "operators": [],
        "clients": [],
        "feed": [],
        "summary": dict.fromkeys(counters, 0),
        "filters": dict.fromkeys(("date", "date_end", "operator", "client", "city")),
        "operatorsList": [],
        "clientsList": [],
        "citiesList": [],
    }
    boxes = await ingest.get(BOXES)
    assert (boxes["clients"], boxes["totalItems"], boxes["totalBoxes"]) == ([], 0, 0)


async def test_a_scan_appears_everywhere_with_the_names_of_the_client(ingest: Service) -> None:
    await ingest.record(a_scan(7, scanned_at=datetime(2025, 10, 31, 5, 2, 5, tzinfo=UTC)))
    ingest.clock.advance(seconds=45)

    state = await ingest.get(STATE)

    assert state["operators"] == [
        {
            "operator": "anna",
            "online": True,
            "onlineAgeSec": 45,
            "lastSeenMs": NOON_MS,
            "lastClient": "ivancov",
            "lastCity": "Novosem",
            "lastBox": "ivancov/8",
            "itemsToday": 1,
            "errorsToday": 0,
            "lastSeenAt": "31.10.2025 12:00:00",
        }
    ]
    rest = dict.fromkeys(("boxesOpen", "boxesClose", "errors", "autoCloses", "removed"), 0)
    assert state["clients"] == [{"client": "ivancov", "items": 1} | rest]
    assert state["feed"] == [
        SCAN
        | {"ts": "31.10.2025 08:02:05", "tsMs": 1_761_886_925_000}
        | {"box": "ivancov/8", "details": ""}
    ]
    lists = (state["operatorsList"], state["clientsList"], state["citiesList"])
    assert lists == (["anna"], ["ivancov"], ["Novosem"])


async def test_empty_names_are_dashes_except_in_the_lists(ingest: Service) -> None:
    await ingest.record(a_scan(1, operator="", client="", city="", box="", code="", details=None))

    state = await ingest.get(STATE)

    (operator,), (client,), (row,) = state["operators"], state["clients"], state["feed"]
    assert operator["operator"] == operator["lastBox"] == operator["lastCity"] == "—"
    assert client["client"] == "—"
    assert [row[name] for name in ("operator", "client", "city", "box")] == ["—"] * 4
    assert (row["code"], row["details"]) == ("", "")
    assert state["operatorsList"] == state["clientsList"] == state["citiesList"] == []


@pytest.mark.parametrize(("seconds", "online"), [(300, True), (300.999, True), (301, False)])
async def test_an_operator_is_online_for_five_minutes(
    ingest: Service, seconds: float, online: bool
) -> None:
    await ingest.record(a_scan(1))
    ingest.clock.advance(seconds=seconds)

    (operator,) = (await ingest.get(STATE))["operators"]

    assert (operator["online"], operator["onlineAgeSec"]) == (online, int(seconds))


async def test_removals_on_a_dashboard_make_no_operator_online(ingest: Service) -> None:
    await ingest.record(a_scan(1, kind="REMOVE", source="dashboard"))

    (operator,) = (await ingest.get(STATE))["operators"]

    assert (operator["online"], operator["lastSeenMs"]) == (False, NOON_MS)


async def test_operators_are_ordered_by_online_items_and_name(ingest: Service) -> None:
    long_ago = datetime(2025, 10, 31, 6, tzinfo=UTC)
    await ingest.record(
        *(a_scan(n, operator="zoe", received_at=long_ago) for n in range(3)),
        a_scan(10, operator="boris", kind="BOX"),
        a_scan(11, operator="clara"),
        a_scan(12, operator="anna"),
    )

    operators = (await ingest.get(STATE))["operators"]

    assert [one["operator"] for one in operators] == ["anna", "clara", "boris", "zoe"]


async def test_the_feed_has_the_length_of_the_setting(ingest: Service) -> None:
    await ingest.record(*(a_scan(n) for n in range(101)))

    state = await ingest.get(STATE)

    assert (len(state["feed"]), state["summary"]["items"]) == (100, 101)


async def test_filters_are_echoed_as_they_were_written(ingest: Service) -> None:
    params = {"date": "31.10.2025", "date_end": "2025-11-01", "operator": "anna", "city": "—"}

    assert (await ingest.get(STATE, **params))["filters"] == params | {"client": None}


async def test_raw_has_a_scan_in_full(ingest: Service) -> None:
    three_ahead = datetime(2025, 10, 31, 12, tzinfo=UTC)
    changes: dict[str, Any] = {"skewed": True, "box": "a/b/7", "details": None}
    await ingest.record(a_scan(7, scanned_at=three_ahead, effective_at=NOON, **changes))

    assert await ingest.get(RAW) == {
        "logs": [
            SCAN
            | {"box": "a/b/7", "details": None, "source": "pwa", "skewed": True}
            | dict.fromkeys(("ts", "receivedAt"), "31.10.2025 12:00:00")
            | dict.fromkeys(("tsMs", "receivedAtMs"), NOON_MS)
            | {"deviceTsMs": NOON_MS + 3 * 3_600_000}
        ],
        "total": 1,
    }


async def test_raw_counts_all_matches_and_returns_a_page(ingest: Service) -> None:
    await ingest.record(*(a_scan(n, kind="ERROR" if n % 2 else "ITEM") for n in range(20)))

    first = await ingest.get(RAW, type="ERROR", limit=4)
    last = await ingest.get(RAW, type="ERROR", limit=4, offset=8)
    beyond = await ingest.get(RAW, type="ERROR", offset=100)

    assert (len(first["logs"]), first["total"]) == (4, 10)
    assert (len(last["logs"]), last["total"]) == (2, 10)
    assert (beyond["logs"], beyond["total"]) == ([], 10)
    assert not {row["uuid"] for row in first["logs"]} & {row["uuid"] for row in last["logs"]}
    by_the_manual = await ingest.get("/api/v1/logs/raw", type="ERROR", limit=4, offset=8)
    assert by_the_manual == last


MINUTE = timedelta(minutes=1)


async def test_a_batch_from_a_clock_ahead_is_listed_in_the_order_of_that_clock(
    ingest: Service,
) -> None:
    ahead = NOON_MS + 600_000
    await ingest.send(
        event(9, ts=ahead, type="BOX"),
        event(5, ts=ahead + 1000),
        event(4, ts=ahead + 2000),
        event(1, ts=ahead + 3000, type="CLOSE"),
    )

    [box] = (await ingest.get(BOXES))["clients"][0]["cities"][0]["boxes"]

    assert (box["status"], [item["code"] for item in box["items"]]) == ("closed", ["5", "4"])
    newest_first = ["CLOSE", "ITEM", "ITEM", "BOX"]
    assert [row["type"] for row in (await ingest.get(RAW))["logs"]] == newest_first
    exported = (await ingest.viewer.get(CSV)).text
    assert [line.split(";")[2] for line in exported.splitlines()[1:]] == newest_first[::-1]


async def test_a_box_has_all_its_fields(ingest: Service) -> None:
    await ingest.record(
        a_scan(1, kind="BOX", code="ivancov/8"),
        a_scan(2, scanned_at=NOON + MINUTE),
        a_scan(3, scanned_at=NOON + 43 * MINUTE, kind="AUTO_CLOSE", operator="boris"),
    )

    answer = await ingest.get(BOXES, date="31.10.2025", client="ivancov")

    assert datetime.fromisoformat(answer.pop("generatedAt")) == NOON
    item = {
        "ts": "31.10.2025 12:01:00",
        "code": "2042469234860",
        "operator": "anna",
        "uuid": str(UUID(int=2)),
        "tsMs": NOON_MS + 60_000,
    }
    box = {
        "client": "ivancov",
        "city": "Novosem",
        "boxNo": "8",
        "itemsCount": 1,
        "firstAt": "31.10.2025 12:00:00",
        "lastAt": "31.10.2025 12:43:00",
        "operators": ["anna", "boris"],
        "items": [item],
        "box": "ivancov/8",
        "day": "2025-10-31",
        "status": "closed",
        "openedAt": "31.10.2025 12:00:00",
        "closedAt": "31.10.2025 12:43:00",
        "closedBy": "AUTO_CLOSE",
        "continued": False,
        "itemsTruncated": False,
        "firstAtMs": NOON_MS,
        "lastAtMs": NOON_MS + 43 * 60_000,
        "openedAtMs": NOON_MS,
        "closedAtMs": NOON_MS + 43 * 60_000,
    }
    totals = {"totalItems": 1, "totalBoxes": 1}
    city = {"city": "Novosem", "boxes": [box], **totals}
    filters = {"date": "31.10.2025", "client": "ivancov"}
    assert answer == {
        "filters": dict.fromkeys(("date_end", "operator", "city")) | filters,
        "clients": [{"client": "ivancov", "cities": [city], **totals}],
        **totals,
    }


async def test_an_open_box_was_never_closed(ingest: Service) -> None:
    await ingest.record(a_scan(1, client="", city="", box="a/b/7"))

    (client,) = (await ingest.get(BOXES))["clients"]

    (city,) = client["cities"]
    (box,) = city["boxes"]
    assert (client["client"], city["city"], box["client"], box["city"]) == ("—", "—", "—", "—")
    assert (box["boxNo"], box["box"], box["status"]) == ("b/7", "a/b/7", "open")
    assert {box[name] for name in ("openedAt", "closedAt", "closedBy", "openedAtMs")} == {None}


async def test_a_page_has_some_boxes_and_the_totals_of_all(ingest: Service) -> None:
    await ingest.record(*(a_scan(n, kind="BOX", box=f"ivancov/{n}") for n in range(1, 13)))
    await ingest.record(*(a_scan(100 + n, client="petrov", box="petrov/1") for n in range(5)))

    first = await ingest.get(BOXES, limit=3, items=2)
    last = await ingest.get(BOXES, limit=3, offset=11, items=0)

    assert [client["client"] for client in first["clients"]] == ["petrov", "ivancov"]
    petrov, ivancov = first["clients"]
    (full,) = petrov["cities"][0]["boxes"]
    assert (full["itemsCount"], len(full["items"]), full["itemsTruncated"]) == (5, 2, True)
    assert [box["boxNo"] for box in ivancov["cities"][0]["boxes"]] == ["1", "2"]
    (rest,) = last["clients"]
    assert [box["boxNo"] for box in rest["cities"][0]["boxes"]] == ["11", "12"]
    for answer in (first, last):
        assert (answer["totalItems"], answer["totalBoxes"]) == (5, 13)
        assert answer["clients"][-1]["totalBoxes"] == 12
        assert answer["clients"][-1]["cities"][0]["totalBoxes"] == 12
