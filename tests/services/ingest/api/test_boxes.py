"""Which boxes were worked on, as clients of the API read it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from libs.postgres.pool import Pool
from tests.services.ingest.told import NOON, NOON_MS, Fresh, a_scan, in_envelope, project

BOXES = "/api/v1/dashboard/boxes"


async def told(pool: Pool, *scans: Any) -> None:
    await project(pool, [in_envelope(scan) for scan in scans])


async def test_a_box_is_shown_in_full(viewer: AsyncClient, pool: Pool) -> None:
    minute = timedelta(minutes=1)
    await told(
        pool,
        a_scan(1, kind="BOX", code="ivancov/8"),
        a_scan(2, scanned_at=NOON + minute),
        a_scan(3, scanned_at=NOON + 43 * minute, kind="AUTO_CLOSE", operator="boris"),
    )

    answer = (await viewer.get(BOXES, params={"date": "31.10.2025", "client": "ivancov"})).json()

    assert datetime.fromisoformat(answer.pop("generatedAt")) == NOON
    shown = {
        "client": "ivancov",
        "city": "Novosem",
        "boxNo": "8",
        "itemsCount": 1,
        "firstAt": "31.10.2025 12:00:00",
        "lastAt": "31.10.2025 12:43:00",
        "operators": ["anna", "boris"],
        "items": [
            {
                "ts": "31.10.2025 12:01:00",
                "code": "2042469234860",
                "operator": "anna",
                "uuid": str(UUID(int=2)),
                "tsMs": NOON_MS + 60_000,
            }
        ],
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
    assert answer == {
        "filters": {
            "date": "31.10.2025",
            "date_end": None,
            "operator": None,
            "client": "ivancov",
            "city": None,
        },
        "clients": [
            {
                "client": "ivancov",
                "cities": [{"city": "Novosem", "boxes": [shown], **totals}],
                **totals,
            }
        ],
        **totals,
    }


async def test_an_open_box_was_never_closed(viewer: AsyncClient, pool: Pool) -> None:
    await told(pool, a_scan(1, client="", city="", box="a/b/7"))

    answer = (await viewer.get(BOXES)).json()

    (client,) = answer["clients"]
    (city,) = client["cities"]
    (box,) = city["boxes"]
    assert (client["client"], city["city"], box["client"], box["city"]) == ("—", "—", "—", "—")
    assert (box["boxNo"], box["box"], box["status"]) == ("b/7", "a/b/7", "open")
    assert {box[name] for name in ("openedAt", "closedAt", "closedBy", "openedAtMs")} == {None}


async def test_nothing_found_is_an_empty_answer(viewer: AsyncClient) -> None:
    answer = (await viewer.get(BOXES)).json()

    assert (answer["clients"], answer["totalItems"], answer["totalBoxes"]) == ([], 0, 0)


async def test_an_operator_sees_what_that_operator_did(viewer: AsyncClient, pool: Pool) -> None:
    later = NOON + timedelta(minutes=1)
    await told(
        pool,
        a_scan(1, kind="BOX"),
        a_scan(2),
        a_scan(3, operator="boris", scanned_at=later),
        a_scan(4, kind="CLOSE", scanned_at=later),
        a_scan(5, box="ivancov/9"),
    )

    answer = (await viewer.get(BOXES, params={"operator": "boris"})).json()

    (box,) = answer["clients"][0]["cities"][0]["boxes"]
    assert (answer["totalItems"], answer["totalBoxes"]) == (1, 1)
    assert (box["box"], box["itemsCount"], box["operators"]) == ("ivancov/8", 1, ["boris"])
    assert [item["uuid"] for item in box["items"]] == [str(UUID(int=3))]
    assert (box["status"], box["openedAt"]) == ("closed", "31.10.2025 12:00:00")


async def test_a_page_shows_some_and_counts_all(viewer: AsyncClient, pool: Pool) -> None:
    boxes = [*range(1, 13)]
    await told(pool, *(a_scan(n, kind="BOX", box=f"ivancov/{n}") for n in boxes))
    await told(pool, *(a_scan(100 + n, client="petrov", box="petrov/1") for n in range(5)))

    first = (await viewer.get(BOXES, params={"limit": 3, "items": 2})).json()
    last = (await viewer.get(BOXES, params={"limit": 3, "offset": 11, "items": 0})).json()

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


@pytest.mark.parametrize(
    "asked",
    [{"limit": 0}, {"limit": 5001}, {"items": -1}, {"items": 1001}, {"offset": -1}, {"limit": "x"}],
    ids=str,
)
async def test_a_page_out_of_bounds_is_422(viewer: AsyncClient, asked: dict[str, Any]) -> None:
    assert (await viewer.get(BOXES, params=asked)).status_code == 422


@pytest.mark.parametrize("asked", [{"date": "31/10/2025"}, {"city": "a\0b"}], ids=str)
async def test_a_question_without_sense_is_400(viewer: AsyncClient, asked: dict[str, str]) -> None:
    answer = await viewer.get(BOXES, params=asked)

    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)


async def test_only_readers_of_the_tenant_see_boxes(
    viewer: AsyncClient, stranger: AsyncClient, device: AsyncClient, nobody: AsyncClient, pool: Pool
) -> None:
    await told(pool, a_scan(1))

    assert (await viewer.get(BOXES)).json()["totalBoxes"] == 1
    assert (await stranger.get(BOXES)).json()["clients"] == []
    assert (await device.get(BOXES)).status_code == 403
    assert (await nobody.get(BOXES)).status_code == 401


async def test_an_answer_older_than_the_token_says_so(viewer: AsyncClient, fresh: Fresh) -> None:
    token = {"X-Consistency-Token": "123"}

    in_time = await viewer.get(BOXES, headers=token)
    fresh.answer = False
    too_late = await viewer.get(BOXES, headers=token)

    assert "x-stale" not in in_time.headers
    assert too_late.headers["x-stale"] == "1"
    assert fresh.asked == {("box", "123"), ("scan_log", "123")}


async def test_no_service_worker_can_keep_the_answer(viewer: AsyncClient) -> None:
    answer = await viewer.get(BOXES)

    assert (answer.headers["vary"], answer.headers["cache-control"]) == ("*", "no-store")
