"""Which boxes were worked on, as clients of the API read it."""

from datetime import datetime, timedelta
from uuid import UUID

from tests.services.ingest.history import NOON, NOON_MS, a_scan
from tests.services.ingest.service import BOXES, Service

MINUTE = timedelta(minutes=1)


async def test_a_box_is_shown_in_full(ingest: Service) -> None:
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


async def test_without_boxes_the_answer_is_empty(ingest: Service) -> None:
    answer = await ingest.get(BOXES)

    assert (answer["clients"], answer["totalItems"], answer["totalBoxes"]) == ([], 0, 0)


async def test_a_page_shows_some_and_counts_all(ingest: Service) -> None:
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
