"""A price and scales that are dead or lie, and workers that die (SCL-9, SCL-16)."""

from typing import Any

import pytest

from contracts.scale_bridge import OperationQueued, ProductsShown
from services.scale_bridge.handlers import price
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import Inside, eventually, fetched, registered, working
from tests.services.scale_bridge.looked_after import looked_after
from tests.services.scale_bridge.pricing import (
    by_price,
    changed,
    clean,
    delivery,
    says,
    shows,
    states,
)


async def all_ended(made: Inside) -> bool:
    return len(await made.ends()) == len(await made.events(OperationQueued))


async def test_a_liar_gets_one_upload_for_each_fetch_and_is_failed(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        scale.scale.faults.set(["lie"])
        await says(made, changed())
        await made.fresh.caught_up("all")
        await eventually(lambda: all_ended(made))
        for times in (2, 3):
            await fetched(anna, number)
            await eventually(lambda: all_ended(made))
            assert len(await by_price(made)) == times
        [one] = (await delivery(anna))["scales"]
        assert (one["id"], one["state"], one["code"]) == (number, "failed", "NotShown")
        assert one["name"].startswith(f"scale {scale.port} ")
        assert one["detail"]
        assert one["verified_at"] is None


async def test_a_dead_scale_gets_only_the_last_price_when_it_is_back(database: str) -> None:
    """SCL-9."""
    async with (
        a_scale(3) as dead,
        a_scale(3) as alive,
        looked_after(database) as made,
        made.client() as anna,
    ):
        for scale in (dead, alive):
            await fetched(anna, await registered(anna, scale))
        await dead.power_cut()
        first, last = changed(5_000), changed(6_000)
        await says(made, first)
        await eventually(lambda: said_failed(anna), 30)
        await says(made, last)
        await eventually(shows(alive, 60.0))

        await dead.power_on()
        await eventually(shows(dead, 60.0), 60)

        async def verified() -> bool:
            return await states(anna) == ["verified", "verified"]

        await eventually(verified, 30)
        told = (await delivery(anna))["summary"]
        assert (told["scales"], told["verified"], told["behind"]) == (2, 2, 0)
        assert told["seconds"] > 0
        seen = [one.shown["2"]["price"] for one in await shown_by(made, dead, anna)]
        assert 50.0 not in seen
        old = (await anna.get(f"/prices/deliveries?price_id={first.price_id}")).json()
        assert [one["state"] for one in old["scales"]] == ["overridden", "overridden"]
        assert {one["overridden_by"] for one in old["scales"]} == {"price"}


async def said_failed(anna: Any) -> bool:
    [dead, _] = (await delivery(anna))["scales"]
    return bool(dead["state"] == "failed" and dead["code"])


async def shown_by(made: Inside, scale: Any, anna: Any) -> list[ProductsShown]:
    listed = (await anna.get("/devices")).json()
    [number] = [one["id"] for one in listed if one["port"] == scale.port]
    rows = await made.deps.desk.pool.fetch("SELECT device_id FROM device WHERE number = $1", number)
    told = await made.events(ProductsShown)
    return [one for one in told if one.device_id == rows[0]["device_id"] and "2" in one.shown]


async def test_who_dies_after_the_fetch_forgets_no_price(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what the scale showed and the shop's word nothing is lost."""
    hold = price.hold
    died: list[bool] = []

    async def dying(*given: Any, **named: Any) -> None:
        if not died:
            died.append(True)
            raise RuntimeError("the power fails")
        await hold(*given, **named)

    async with (
        a_scale(3) as scale,
        working(database, lease_seconds=4.0) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        await says(made, changed())
        await eventually(shows(scale, 123.45))
        await eventually(lambda: clean(anna, number))
        scale.base.products[1]["price"] = 1.0
        monkeypatch.setattr(price, "hold", dying)

        await anna.get(f"/devices/{number}/products")

        assert died
        await eventually(shows(scale, 123.45), 60)
        await eventually(lambda: all_ended(made), 60)
        await made.one_end_each()
