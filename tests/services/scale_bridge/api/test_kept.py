"""What scales showed is answered for as long as it is kept, and said to be gone before that."""

from datetime import datetime, timedelta

import pytest

from libs.clock import utc_now
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import fetched, registered, scale_settings, working


async def test_a_moment_before_what_is_kept_is_gone(database: str) -> None:
    async with (
        a_scale(1) as scale,
        working(database, shown_days=2) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        path = f"/devices/{number}/shown"
        long_ago, lately = (utc_now() - timedelta(days=days, hours=1) for days in (2, 1))
        gone = await anna.get(path, params={"plu": "1", "at": long_ago.isoformat()})
        unknown = await anna.get(path, params={"plu": "1", "at": lately.isoformat()})

        assert gone.status_code == 410
        assert isinstance(gone.json()["detail"], str)
        assert gone.json()["code"] == "Gone"
        assert (unknown.status_code, unknown.json()["known"]) == (200, False)
        for answer in (gone, unknown, await anna.get(f"{path}/history?plu=1")):
            since = datetime.fromisoformat(answer.headers["X-Kept-Since"])
            assert since <= utc_now() - timedelta(days=2)
            assert since > long_ago


async def test_what_is_kept_for_ever_is_never_gone(database: str) -> None:
    async with (
        a_scale(1) as scale,
        working(database, shown_days=0) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        path = f"/devices/{number}/shown?plu=1&at=1990-01-01T00:00:00Z"
        answer = await anna.get(path)

        assert (answer.status_code, answer.json()["known"]) == (200, False)
        assert "X-Kept-Since" not in answer.headers


@pytest.mark.parametrize("days", [0, 400])
def test_how_long_is_a_setting(days: int) -> None:
    settings = scale_settings("postgresql://unused", **({"shown_days": 0} if not days else {}))

    assert settings.shown_days == days
