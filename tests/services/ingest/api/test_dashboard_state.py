"""What supervisors look at: the day at a glance."""

from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import AsyncClient

from libs.postgres.pool import Pool
from tests.services.ingest.told import (
    NOON,
    NOON_MS,
    Clock,
    a_scan,
    in_envelope,
    project,
)

STATE = "/api/v1/dashboard/state"


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
        "summary": {
            "items": 0,
            "opens": 0,
            "closes": 0,
            "errors": 0,
            "autoCloses": 0,
            "removed": 0,
        },
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
            "removed": 0,
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
