"""What a scale shows, showed and shall show, over HTTP (SCL-15, SCL-18)."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.clock import utc_now
from tests.services.scale_bridge.service import Device, open_device, scale_settings


async def shown(device: Device, plu: int, at: datetime | None = None) -> Any:
    moment = {} if at is None else {"at": at.isoformat()}
    return await device.read("/shown", plu=str(plu), **moment)


async def test_what_a_scale_showed_at_an_instant_is_answered(database: str) -> None:
    """SCL-18: "what price did scale X show at 14:05?"."""
    async with open_device(database, 4, read=False) as device:
        before = utc_now()
        first = (await device.fetch())["products"][1]["price"]
        between = utc_now()
        await device.set_price(2, 77.5)
        await device.upload()

        unknown = await shown(device, 2, before)
        early = await shown(device, 2, between)
        late = await shown(device, 2)

        assert (unknown["known"], unknown["shown"]) == (False, None)
        assert unknown["detail"]
        assert (early["known"], early["shown"]["price"], early["certain"]) == (True, first, True)
        assert late["shown"]["price"] == 77.5
        assert early["until"] == late["since"]
        history = await device.read("/shown/history?plu=2")
        assert [one["shown"]["price"] for one in history] == [77.5, first]


async def test_an_instant_may_be_written_in_any_zone(database: str) -> None:
    """Without one it is the shop's; a plus that is not encoded is a plus."""
    async with open_device(database, 1) as device:
        for zone in ("+03:00", "%2B03:00", "Z", ""):
            for days, known in ((1, True), (-1, False)):
                moment = (utc_now() + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S")
                answer = await device.read(f"/shown?plu=1&at={moment}{zone}")
                assert answer["known"] is known, (zone, days)


async def test_drift_names_what_is_shown_otherwise(database: str) -> None:
    """SCL-15: edited here, or changed on the scale itself."""
    async with open_device(database, 4, read=False) as device:
        nothing = {"revision": 0, "confirmed_revision": None, "verified_at": None, "count": 0}
        assert await device.read("/drift") == nothing | {"products": []}

        async def drift() -> tuple[int, int, int]:
            found = await device.read("/drift")
            return found["count"], found["revision"], found["confirmed_revision"]

        await device.fetch()
        assert await drift() == (0, 1, 1)

        await device.set_price(2, 77.5)
        (one,) = (await device.read("/drift"))["products"]
        assert (one["plu"], one["fields"], one["desired"]["price"]) == ("2", ["price"], 77.5)
        assert await drift() == (1, 2, 1)

        await device.upload()
        assert await drift() == (0, 2, 2)

        device.scale.base.products[0]["price"] = 1.0
        assert (await device.post("/verify")).status_code == 503
        (one,) = (await device.read("/drift"))["products"]
        assert (one["plu"], one["fields"], one["shown"]["price"]) == ("1", ["price"], 1.0)


async def test_a_moment_before_retention_is_gone(database: str) -> None:
    async with open_device(database, 1, shown_days=2) as device:
        long_ago, lately = (utc_now() - timedelta(days=days, hours=1) for days in (2, 1))
        gone, unknown = [
            await device.get("/shown", plu="1", at=at.isoformat()) for at in (long_ago, lately)
        ]

        assert gone.status_code == 410
        assert isinstance(gone.json()["detail"], str)
        assert gone.json()["code"] == "Gone"
        assert (unknown.status_code, unknown.json()["known"]) == (200, False)
        for answer in (gone, unknown, await device.get("/shown/history?plu=1")):
            since = datetime.fromisoformat(answer.headers["X-Kept-Since"])
            assert since <= utc_now() - timedelta(days=2)
            assert since > long_ago


async def test_what_is_retained_for_ever_is_never_gone(database: str) -> None:
    async with open_device(database, 1, shown_days=0) as device:
        answer = await device.get("/shown?plu=1&at=1990-01-01T00:00:00Z")

        assert (answer.status_code, answer.json()["known"]) == (200, False)
        assert "X-Kept-Since" not in answer.headers


@pytest.mark.parametrize("days", [0, 400])
def test_how_long_is_a_setting(days: int) -> None:
    settings = scale_settings("postgresql://unused", **({"shown_days": 0} if not days else {}))

    assert settings.shown_days == days
