"""Auto-update as its clients know it (§1.1, R10, S10 to S13)."""

from typing import Any

import pytest

from tests.services.scale_bridge.inside import BORIS, inside
from tests.services.scale_bridge.scheduled import NEVER, a_device, put


async def test_it_is_disabled_until_it_is_set(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        assert (await anna.get(f"/devices/{number}/auto-update")).json() == NEVER


async def test_a_new_scale_is_updated_by_itself_only_if_that_is_configured(database: str) -> None:
    """S28."""
    configured: dict[str, Any] = {"scheduler_enabled": True, "scheduler_interval": 720}
    async with inside(database, **configured) as made, made.client() as anna:
        number = await a_device(anna)
        answer = (await anna.get(f"/devices/{number}/auto-update")).json()
        assert answer == NEVER | {"enabled": True, "interval_minutes": 720}


async def test_what_is_set_is_answered_and_what_it_says_of_runs_is_ignored(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        answer = await put(anna, number, True, "60", last_status="OK", last_run_utc="x", more=1)

        assert answer.status_code == 200
        assert answer.json() == NEVER | {"enabled": True, "interval_minutes": 60}
        assert (await anna.get(f"/devices/{number}/auto-update")).json() == answer.json()


@pytest.mark.parametrize("minutes", [0, -5, 525_601, 10**12, 1.5, "x", None])
async def test_an_interval_out_of_bounds_is_422(database: str, minutes: Any) -> None:
    """R10, S11."""
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        answer = await put(anna, number, True, minutes)

        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "interval_minutes"]
        assert (await anna.get(f"/devices/{number}/auto-update")).json() == NEVER


async def test_anybody_elses_device_is_not_there(database: str) -> None:
    async with inside(database) as made, made.client() as anna, made.client(BORIS) as boris:
        number = await a_device(anna)
        for answer in (
            await boris.get(f"/devices/{number}/auto-update"),
            await put(boris, number, True, 60),
        ):
            assert (answer.status_code, answer.json()["detail"]) == (404, "Device not found")


async def test_where_it_is_switched_off_for_everybody_it_is_said(database: str) -> None:
    """R10, S13."""
    async with inside(database, scheduler_on=False) as made, made.client() as anna:
        number = await a_device(anna)
        answer = await put(anna, number, True, 60)

        assert answer.status_code == 409
        assert isinstance(answer.json()["detail"], str)
        got = await anna.get(f"/devices/{number}/auto-update")
        assert (got.json(), got.headers["X-Auto-Update"]) == (NEVER, "off")
        assert (await put(anna, number, False, 60)).status_code == 200
