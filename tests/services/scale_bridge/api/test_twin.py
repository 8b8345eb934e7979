"""What a scale shows, showed and shall show, asked over HTTP (SCL-15, SCL-18)."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from libs.clock import utc_now
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    BORIS,
    Inside,
    fetched,
    patch,
    registered,
    working,
)


async def shown(client: Any, number: int, plu: int, at: datetime | str | None = None) -> Any:
    params = {"plu": str(plu)} | ({} if at is None else {"at": str(at)})
    answer = await client.get(f"/devices/{number}/shown", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def drift(client: Any, number: int) -> Any:
    answer = await client.get(f"/devices/{number}/drift")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_a_scale_showed_at_an_instant_is_answered(database: str) -> None:
    """SCL-18: "what price did scale X show at 14:05?"."""
    async with a_scale(4) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        before = utc_now()
        first = (await fetched(anna, number))["products"][1]["price"]
        between = utc_now()
        await patch(anna, number, 2, price=77.5)
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200

        unknown = await shown(anna, number, 2, before.isoformat())
        early = await shown(anna, number, 2, between.isoformat())
        late = await shown(anna, number, 2)

        assert (unknown["known"], unknown["shown"]) == (False, None)
        assert unknown["detail"]
        assert (early["known"], early["shown"]["price"], early["certain"]) == (True, first, True)
        assert late["shown"]["price"] == 77.5
        assert early["until"] == late["since"]
        told = (await anna.get(f"/devices/{number}/shown/history?plu=2")).json()
        assert [one["shown"]["price"] for one in told] == [77.5, first]


@pytest.mark.parametrize("zone", ["+03:00", "%2B03:00", "Z", ""])
async def test_an_instant_may_be_written_in_any_zone(database: str, zone: str) -> None:
    """Without one it is the shop's; a plus that nobody encoded is a plus."""
    async with a_scale(1) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        await fetched(anna, number)
        tomorrow = (utc_now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
        url = f"/devices/{number}/shown?plu=1&at={tomorrow}{zone}"
        assert (await anna.get(url)).json()["known"] is True
        yesterday = (utc_now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
        url = f"/devices/{number}/shown?plu=1&at={yesterday}{zone}"
        assert (await anna.get(url)).json()["known"] is False


@pytest.mark.parametrize("at", ["soon", "2026-13-45T99:00:00Z", "Tuesday"])
async def test_a_moment_that_is_none_is_422(database: str, at: str) -> None:
    async with a_scale(1) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        answer = await anna.get(f"/devices/{number}/shown?plu=1&at={quote(at)}")
        assert answer.status_code == 422
        assert at not in answer.text


async def test_drift_names_what_is_shown_otherwise(database: str) -> None:
    """SCL-15."""
    async with a_scale(4) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        assert await drift(anna, number) == {
            "revision": 0,
            "confirmed_revision": None,
            "verified_at": None,
            "count": 0,
            "products": [],
        }
        await fetched(anna, number)
        found = await drift(anna, number)
        assert (found["count"], found["revision"], found["confirmed_revision"]) == (0, 1, 1)

        await patch(anna, number, 2, price=77.5)
        found = await drift(anna, number)
        (one,) = found["products"]
        assert (one["plu"], one["fields"], one["desired"]["price"]) == ("2", ["price"], 77.5)
        assert (found["count"], found["revision"], found["confirmed_revision"]) == (1, 2, 1)

        await anna.post(f"/devices/{number}/upload")
        found = await drift(anna, number)
        assert (found["count"], found["confirmed_revision"]) == (0, 2)


async def test_what_somebody_changed_on_the_scale_itself_is_found(database: str) -> None:
    """SCL-15."""
    async with a_scale(4) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        await fetched(anna, number)
        simulator.base.products[0]["price"] = 1.0
        assert (await anna.post(f"/devices/{number}/verify")).status_code == 503

        (one,) = (await drift(anna, number))["products"]
        assert (one["plu"], one["fields"], one["shown"]["price"]) == ("1", ["price"], 1.0)


async def test_at_another_address_another_scale_is_told_of(database: str) -> None:
    """R9: also of what both show, and with the drift of neither of them mixed in."""
    async with (
        a_scale(2) as old,
        a_scale(3) as new,
        working(database) as made,
        made.client() as anna,
    ):
        number = await registered(anna, old)
        await fetched(anna, number)
        moved = {"ip": new.host, "port": new.port}
        assert (await anna.put(f"/devices/{number}", json=moved)).status_code == 200
        assert (await shown(anna, number, 1))["known"] is False

        await fetched(anna, number)
        for plu in (1, 3):
            found = await shown(anna, number, plu)
            assert (found["known"], found["shown"] is not None) == (True, True)
        assert (await drift(anna, number))["count"] == 0


async def test_anybody_elses_scale_is_not_there(database: str) -> None:
    async with a_scale(1) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        await forbidden(made, number)


async def forbidden(made: Inside, number: int) -> None:
    async with made.client(BORIS) as boris, made.nobody() as nobody:
        for path in ("shown?plu=1", "shown/history?plu=1", "drift"):
            answer = await boris.get(f"/devices/{number}/{path}")
            assert (answer.status_code, answer.json()["detail"]) == (404, "Device not found")
            assert (await nobody.get(f"/devices/{number}/{path}")).status_code == 401
