"""Where a price has arrived, as the API answers it (SCL-16, N1)."""

from datetime import timedelta
from uuid import uuid4

from libs.clock import utc_now
from libs.testing.waiting import eventually
from tests.services.scale_bridge.pricing import announce, changed, delivery, remember, states
from tests.services.scale_bridge.service import (
    BORIS,
    catching_up,
    open_device,
    open_devices,
    open_service,
)
from tests.services.scale_bridge.streams import listening, until


async def test_a_price_is_followed_to_every_scale(database: str) -> None:
    async with open_devices(database, 3, 3, 1) as devices:
        service, anna = devices[0].service, devices[0].owner
        change = changed()
        assert (await anna.get("/prices/51/delivery")).status_code == 404

        await announce(service, change)

        await eventually(lambda: states(anna), ["verified", "verified"])
        answer = await delivery(anna)
        assert answer["price"]["price_id"] == str(change.price_id)
        assert answer["price"]["price"] == 123.45
        assert answer["coming"] == []
        summary = answer["summary"]
        assert (summary["scales"], summary["verified"], summary["behind"]) == (2, 2, 0)
        assert summary["seconds"] > 0
        for scale in answer["scales"]:
            moments = ("taken_at", "sending_at", "applied_at", "verified_at")
            assert sorted(moments, key=lambda name: scale[name]) == list(moments)
            assert (scale["plu"], scale["shown"], scale["changed"]) == ("2", 123.45, True)
            assert scale["failed_at"] is None
        by_id = f"/prices/deliveries?price_id={change.price_id}"
        assert (await anna.get(by_id)).json() == answer

        # The price is the tenant's; each owner sees the own scales below it.
        async with service.client(BORIS) as boris, service.client(tenant="other") as stranger:
            for path in ("/prices/51/delivery", by_id):
                theirs = await boris.get(path)
                assert (theirs.status_code, theirs.json()["scales"]) == (200, [])
                assert theirs.json()["summary"]["scales"] == 0
                assert (await stranger.get(path)).status_code == 404


async def test_a_price_to_come_waits(database: str) -> None:
    async with open_device(database) as device:
        to_come = changed(9_900, valid_at=utc_now() + timedelta(hours=1))
        await remember(device.service, to_come)

        answer = await delivery(device.owner)

        assert answer["price"]["price_id"] == str(to_come.price_id)
        assert [one["state"] for one in answer["scales"]] == ["waiting"]
        assert answer["summary"] == {"scales": 1, "verified": 0, "behind": 1, "seconds": None}

        await announce(device.service, changed(5_000))
        answer = await delivery(device.owner)
        assert answer["price"]["price"] == 50.0
        assert [one["price_id"] for one in answer["coming"]] == [str(to_come.price_id)]
        later = await device.owner.get(f"/prices/deliveries?price_id={to_come.price_id}")
        assert [one["state"] for one in later.json()["scales"]] == ["waiting"]


async def test_a_persons_price_is_named_as_theirs(database: str) -> None:
    async with open_device(database) as device:
        await announce(device.service, changed())
        await device.set_price(2, 9.5)

        [one] = (await delivery(device.owner))["scales"]

        assert one["state"] == "overridden"
        assert one["overridden_at"] is not None
        assert (await delivery(device.owner))["summary"]["behind"] == 0


async def test_a_price_that_was_never_announced_is_404(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        for path in ("/prices/51/delivery", f"/prices/deliveries?price_id={uuid4()}"):
            answer = await anna.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (404, "Price not found")


async def test_a_stream_shows_it_arrive(database: str) -> None:
    path = "/prices/51/delivery/stream"
    async with open_device(database, stream_poll_seconds=0.02) as device:
        service = device.service
        await announce(service, changed())
        async with (
            catching_up(service),
            listening(service.app, device.owner, path) as events,
        ):
            await until(
                events, lambda data: [one["state"] for one in data["scales"]] == ["verified"]
            )
