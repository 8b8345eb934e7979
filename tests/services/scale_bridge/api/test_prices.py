"""Where a price has arrived, asked at the API (SCL-16, N1)."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

from libs.clock import utc_now
from services.scale_bridge.handlers import price
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    BORIS,
    eventually,
    fetched,
    inside,
    patch,
    registered,
    working,
)
from tests.services.scale_bridge.pricing import changed, delivery, says, states


async def test_a_price_is_followed_to_every_scale(database: str) -> None:
    async with (
        a_scale(3) as one,
        a_scale(3) as two,
        a_scale(1) as without,
        working(database) as made,
        made.client() as anna,
    ):
        for scale in (one, two, without):
            await fetched(anna, await registered(anna, scale))
        change = changed()
        assert (await anna.get("/prices/51/delivery")).status_code == 404

        await says(made, change)

        async def verified() -> bool:
            return await states(anna) == ["verified", "verified"]

        await eventually(verified)
        told = await delivery(anna)
        assert told["price"]["price_id"] == str(change.price_id)
        assert told["price"]["price"] == 123.45
        assert told["coming"] == []
        summary = told["summary"]
        assert (summary["scales"], summary["verified"], summary["behind"]) == (2, 2, 0)
        assert summary["seconds"] > 0
        for scale in told["scales"]:
            moments = ("taken_at", "sending_at", "applied_at", "verified_at")
            assert sorted(moments, key=lambda name: scale[name]) == list(moments)
            assert (scale["plu"], scale["shown"], scale["changed"]) == ("2", 123.45, True)
            assert scale["failed_at"] is None
        again = (await anna.get(f"/prices/deliveries?price_id={change.price_id}")).json()
        assert again == told


async def test_a_price_to_come_waits(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        await fetched(anna, await registered(anna, scale))
        to_come = changed(9_900, valid_at=utc_now() + timedelta(hours=1))
        await price.remember(made.deps.desk, to_come, tenant="demo", currency="RUB")

        told = await delivery(anna)

        assert told["price"]["price_id"] == str(to_come.price_id)
        assert [one["state"] for one in told["scales"]] == ["waiting"]
        assert told["summary"] == {"scales": 1, "verified": 0, "behind": 1, "seconds": None}

        await says(made, changed(5_000))
        told = await delivery(anna)
        assert told["price"]["price"] == 50.0
        assert [one["price_id"] for one in told["coming"]] == [str(to_come.price_id)]
        later = (await anna.get(f"/prices/deliveries?price_id={to_come.price_id}")).json()
        assert [one["state"] for one in later["scales"]] == ["waiting"]


async def test_a_persons_price_is_said_to_be_theirs(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await says(made, changed())
        await patch(anna, number, 2, price=9.5)

        [one] = (await delivery(anna))["scales"]

        assert one["state"] == "overridden"
        assert one["overridden_at"] is not None
        assert (await delivery(anna))["summary"]["behind"] == 0


async def test_everybody_sees_their_own_scales_only(database: str) -> None:
    async with (
        a_scale(3) as scale,
        working(database) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
        made.client(tenant="other") as spy,
        made.client(scopes=("scales:bridge",)) as daemon,
        made.nobody() as nobody,
    ):
        await fetched(anna, await registered(anna, scale))
        change = changed()
        await says(made, change)
        both = ("/prices/51/delivery", f"/prices/deliveries?price_id={change.price_id}")
        for path in both:
            assert len((await anna.get(path)).json()["scales"]) == 1
            answer = await boris.get(path)
            assert (answer.status_code, answer.json()["scales"]) == (200, [])
            assert answer.json()["summary"]["scales"] == 0
            assert (await spy.get(path)).status_code == 404
            assert (await daemon.get(path)).status_code == 403
            assert (await nobody.get(path)).status_code == 401
        assert (await spy.get("/prices/51/delivery/stream")).status_code == 404


async def test_what_nobody_said_is_not_found(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        for path in ("/prices/51/delivery", f"/prices/deliveries?price_id={uuid4()}"):
            answer = await anna.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (404, "Price not found")
        for path in ("/prices/0/delivery", "/prices/x/delivery", "/prices/deliveries?price_id=1"):
            assert (await anna.get(path)).status_code == 422


async def test_who_watches_sees_it_arrive(database: str) -> None:
    settings = {"stream_poll_seconds": 0.02, "stream_lifetime_seconds": 3.0}
    async with a_scale(3) as scale, working(database, **settings) as made, made.client() as anna:
        await fetched(anna, await registered(anna, scale))
        await says(made, changed())
        following = asyncio.create_task(_follow(made))

        answer = await anna.get("/prices/51/delivery/stream")

        following.cancel()
        seen = [
            one["state"]
            for line in answer.text.splitlines()
            if line.startswith("data:")
            for one in json.loads(line.removeprefix("data:"))["scales"]
        ]
        assert seen[-1] == "verified"
        assert answer.headers["content-type"].startswith("text/event-stream")


async def _follow(made: Any) -> None:
    while True:
        await made.fresh.caught_up("all")
        await asyncio.sleep(0.02)
