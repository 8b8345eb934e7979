"""What supervisors look at: row by row, and what holds for every question."""

from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import AsyncClient, Response

from libs.postgres.pool import Pool
from tests.services.ingest.told import (
    NOON,
    NOON_MS,
    Fresh,
    a_scan,
    in_envelope,
    project,
)

STATE = "/api/v1/dashboard/state"
RAW = "/api/v1/dashboard/raw"


async def told(pool: Pool, *scans: Any) -> None:
    await project(pool, [in_envelope(scan) for scan in scans])


@pytest.mark.parametrize("path", [STATE, RAW])
@pytest.mark.parametrize(
    "asked",
    [
        {"date": "31/10/2025"},
        {"date": "2025-02-30"},
        {"date": "2025-10-31", "date_end": "soon"},
        {"date": "2025-01-01", "date_end": "2025-10-31"},
        {"operator": "a\0b"},
    ],
    ids=str,
)
async def test_a_question_without_sense_is_400_with_a_sentence(
    viewer: AsyncClient, path: str, asked: dict[str, str]
) -> None:
    answer = await viewer.get(path, params=asked)

    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 10_001}, {"limit": "x"}, {"offset": -1}])
async def test_a_page_out_of_bounds_is_422_in_the_original_shape(
    viewer: AsyncClient, asked: dict[str, Any]
) -> None:
    answer = await viewer.get(RAW, params=asked)

    assert answer.status_code == 422
    assert {"type", "loc", "msg", "input"} <= set(answer.json()["detail"][0])


async def test_raw_shows_a_scan_in_full(viewer: AsyncClient, pool: Pool) -> None:
    scan = a_scan(
        7,
        scanned_at=datetime(2025, 10, 31, 12, tzinfo=UTC),
        effective_at=NOON,
        skewed=True,
        box="a/b/7",
        details=None,
    )
    await told(pool, scan)

    assert (await viewer.get(RAW)).json() == {
        "logs": [
            {
                "uuid": "00000000-0000-0000-0000-000000000007",
                "ts": "31.10.2025 12:00:00",
                "type": "ITEM",
                "operator": "anna",
                "client": "ivancov",
                "city": "Novosem",
                "box": "a/b/7",
                "code": "2042469234860",
                "details": None,
                "receivedAt": "31.10.2025 12:00:00",
                "source": "pwa",
                "tsMs": NOON_MS,
                "receivedAtMs": NOON_MS,
                "deviceTsMs": NOON_MS + 3 * 3_600_000,
                "skewed": True,
            }
        ],
        "total": 1,
    }


async def test_readers_of_the_manual_find_the_rows_too(viewer: AsyncClient, pool: Pool) -> None:
    await told(pool, *(a_scan(n) for n in range(3)))
    asked: dict[str, Any] = {"date": "2025-10-31", "limit": 2, "offset": 1, "type": "ITEM"}

    by_the_manual = await viewer.get("/api/v1/logs/raw", params=asked)

    assert by_the_manual.status_code == 200
    assert by_the_manual.json() == (await viewer.get(RAW, params=asked)).json()
    assert len(by_the_manual.json()["logs"]) == 2


async def test_raw_counts_all_that_matches_and_shows_a_page(
    viewer: AsyncClient, pool: Pool
) -> None:
    await told(pool, *(a_scan(n, kind="ERROR" if n % 2 else "ITEM") for n in range(20)))

    first = (await viewer.get(RAW, params={"type": "ERROR", "limit": 4})).json()
    last = (await viewer.get(RAW, params={"type": "ERROR", "limit": 4, "offset": 8})).json()
    beyond = (await viewer.get(RAW, params={"type": "ERROR", "offset": 100})).json()

    assert (len(first["logs"]), first["total"]) == (4, 10)
    assert (len(last["logs"]), last["total"]) == (2, 10)
    assert (beyond["logs"], beyond["total"]) == ([], 10)
    assert not {row["uuid"] for row in first["logs"]} & {row["uuid"] for row in last["logs"]}


def cachable(answer: Response) -> bool:
    return (answer.headers.get("vary"), answer.headers.get("cache-control")) != ("*", "no-store")


@pytest.mark.parametrize("path", [STATE, RAW, "/api/v1/nothing", "/", f"{STATE}?date=x"])
async def test_no_answer_to_a_get_can_be_kept_by_a_service_worker(
    viewer: AsyncClient, nobody: AsyncClient, path: str
) -> None:
    assert not cachable(await viewer.get(path))
    assert not cachable(await nobody.get(path))


async def test_only_readers_of_the_tenant_see_anything(
    viewer: AsyncClient, stranger: AsyncClient, device: AsyncClient, nobody: AsyncClient, pool: Pool
) -> None:
    await told(pool, a_scan(1))

    assert (await viewer.get(RAW)).json()["total"] == 1
    assert (await stranger.get(RAW)).json() == {"logs": [], "total": 0}
    assert (await stranger.get(STATE)).json()["operators"] == []
    assert (await device.get(STATE)).status_code == 403
    assert (await nobody.get(STATE)).status_code == 401


async def test_an_answer_older_than_the_token_says_so(viewer: AsyncClient, fresh: Fresh) -> None:
    token = {"X-Consistency-Token": "123"}

    in_time = await viewer.get(STATE, headers=token)
    fresh.answer = False
    too_late = await viewer.get(STATE, headers=token)
    not_asked = await viewer.get(STATE)

    assert "x-stale" not in in_time.headers
    assert too_late.headers["x-stale"] == "1"
    assert "x-stale" not in not_asked.headers
    assert fresh.asked == {("activity", "123"), ("presence", "123"), ("scan_log", "123")}
