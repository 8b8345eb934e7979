"""What supervisors look at."""

from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import AsyncClient, Response

from libs.postgres.pool import Pool
from tests.services.ingest.conftest import NOON, NOON_MS, Clock, Fresh, a_scan, in_envelope, project

STATE = "/api/v1/dashboard/state"
RAW = "/api/v1/dashboard/raw"


async def told(pool: Pool, *scans: Any) -> None:
    await project(pool, [in_envelope(scan) for scan in scans])


async def test_an_empty_day_has_every_field(viewer: AsyncClient) -> None:
    answer = await viewer.get(STATE)

    assert answer.status_code == 200
    assert answer.json() == {
        "generatedAt": "2025-10-31T09:00:00+00:00",
        "operators": [],
        "clients": [],
        "feed": [],
        "summary": {"items": 0, "opens": 0, "closes": 0, "errors": 0, "autoCloses": 0},
        "filters": {
            "date": None,
            "date_end": None,
            "operator": None,
            "client": None,
            "city": None,
        },
        "operatorsList": [],
        "clientsList": [],
        "citiesList": [],
    }


async def test_a_scan_is_shown_everywhere_in_the_clients_words(
    viewer: AsyncClient, pool: Pool, clock: Clock
) -> None:
    await told(pool, a_scan(7, scanned_at=datetime(2025, 10, 31, 5, 2, 5, tzinfo=UTC)))
    clock.pass_by(seconds=45)

    found = (await viewer.get(STATE)).json()

    assert found["operators"] == [
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
    assert found["clients"] == [
        {
            "client": "ivancov",
            "items": 1,
            "boxesOpen": 0,
            "boxesClose": 0,
            "errors": 0,
            "autoCloses": 0,
        }
    ]
    assert found["feed"] == [
        {
            "ts": "31.10.2025 08:02:05",
            "operator": "anna",
            "type": "ITEM",
            "client": "ivancov",
            "city": "Novosem",
            "box": "ivancov/8",
            "code": "2042469234860",
            "uuid": "00000000-0000-0000-0000-000000000007",
            "tsMs": 1_761_886_925_000,
            "details": "",
        }
    ]
    lists = (found["operatorsList"], found["clientsList"], found["citiesList"])
    assert lists == (["anna"], ["ivancov"], ["Novosem"])


async def test_empty_names_are_dashes_except_in_the_lists(viewer: AsyncClient, pool: Pool) -> None:
    await told(pool, a_scan(1, operator="", client="", city="", box="", code="", details=None))

    found = (await viewer.get(STATE)).json()

    (operator,), (client,), (row,) = found["operators"], found["clients"], found["feed"]
    assert operator["operator"] == operator["lastBox"] == operator["lastCity"] == "—"
    assert client["client"] == "—"
    assert [row[name] for name in ("operator", "client", "city", "box")] == ["—"] * 4
    assert (row["code"], row["details"]) == ("", "")
    assert found["operatorsList"] == found["clientsList"] == found["citiesList"] == []


async def test_a_dash_asks_for_the_empty_name_and_nothing_for_all(
    viewer: AsyncClient, pool: Pool
) -> None:
    await told(pool, a_scan(1), a_scan(2, city=""), a_scan(3, city="", client="petrov"))

    async def items(**asked: str) -> int:
        found: int = (await viewer.get(STATE, params=asked)).json()["summary"]["items"]
        return found

    assert await items(city="—") == 2
    assert await items(city="—", client="petrov", operator="") == 1
    assert await items(city="") == 3
    assert await items(city="novosem") == 0


@pytest.mark.parametrize(("seconds", "online"), [(300, True), (300.999, True), (301, False)])
async def test_an_operator_is_online_for_five_minutes(
    viewer: AsyncClient, pool: Pool, clock: Clock, seconds: float, online: bool
) -> None:
    await told(pool, a_scan(1))
    clock.pass_by(seconds=seconds)

    (operator,) = (await viewer.get(STATE)).json()["operators"]

    assert (operator["online"], operator["onlineAgeSec"]) == (online, int(seconds))


async def test_online_does_not_depend_on_the_day_asked_for(
    viewer: AsyncClient, pool: Pool, clock: Clock
) -> None:
    day_before = datetime(2025, 10, 30, 9, tzinfo=UTC)
    await told(
        pool,
        a_scan(1, scanned_at=day_before, received_at=NOON),
        a_scan(2, operator="boris", received_at=day_before),
    )
    clock.pass_by(seconds=10)

    yesterday = (await viewer.get(STATE, params={"date": "30.10.2025"})).json()["operators"]
    today = (await viewer.get(STATE)).json()["operators"]

    assert [(one["operator"], one["online"]) for one in yesterday] == [("anna", True)]
    assert [(one["operator"], one["online"]) for one in today] == [("boris", False)]


async def test_what_a_dashboard_did_makes_nobody_online(viewer: AsyncClient, pool: Pool) -> None:
    await told(pool, a_scan(1, kind="REMOVE", source="dashboard"))

    (operator,) = (await viewer.get(STATE)).json()["operators"]

    assert (operator["online"], operator["lastSeenMs"]) == (False, NOON_MS)


async def test_operators_stand_online_first_then_by_items_then_by_name(
    viewer: AsyncClient, pool: Pool, clock: Clock
) -> None:
    long_ago = datetime(2025, 10, 31, 6, tzinfo=UTC)
    await told(
        pool,
        *(a_scan(n, operator="zoe", received_at=long_ago) for n in range(3)),
        a_scan(10, operator="boris", kind="BOX"),
        a_scan(11, operator="clara"),
        a_scan(12, operator="anna"),
    )

    found = (await viewer.get(STATE)).json()["operators"]

    assert [one["operator"] for one in found] == ["anna", "clara", "boris", "zoe"]


async def test_the_feed_is_as_long_as_the_setting_says(viewer: AsyncClient, pool: Pool) -> None:
    await told(pool, *(a_scan(n) for n in range(101)))

    found = (await viewer.get(STATE)).json()

    assert len(found["feed"]) == 100
    assert found["summary"]["items"] == 101


async def test_filters_are_echoed_as_they_were_written(viewer: AsyncClient) -> None:
    asked = {"date": "31.10.2025", "date_end": "2025-11-01", "operator": "anna", "city": "—"}

    found = (await viewer.get(STATE, params=asked)).json()

    assert found["filters"] == asked | {"client": None}


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


async def test_quarantined_events_are_listed_word_for_word(
    device: AsyncClient, viewer: AsyncClient, projector: Any
) -> None:
    await device.post("/api/v1/events/batch", json={"events": [{"uuid": "x", "code": "\0"}]})
    await projector.catch_up()

    found = (await viewer.get("/api/v1/quarantine")).json()

    (kept,) = found["events"]
    assert found["total"] == 1
    assert (kept["uuid"], kept["code"]) == (None, "bad_uuid")
    assert kept["raw"] == '{"uuid": "x", "code": "\\u0000"}'
