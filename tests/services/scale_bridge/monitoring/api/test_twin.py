"""What a scale shows, showed and shall show (SCL-15, SCL-18), and the delivery of prices (SCL-16,
N1), over HTTP."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from contracts.scale_bridge import PriceTaken, ProductEdited
from contracts.shop import PriceChanged
from libs.clock import utc_now
from libs.testing.event_stream import open_stream
from libs.testing.polling import eventually
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.pricing import (
    announce,
    changed,
    delivery,
    states,
    store_price,
    uploads,
)
from tests.services.scale_bridge.service import (
    BORIS,
    Device,
    a_device,
    catching_up,
    open_device,
    open_devices,
)


async def displayed(device: Device, plu: int, at: datetime | None = None) -> Any:
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

        unknown = await displayed(device, 2, before)
        early = await displayed(device, 2, between)
        late = await displayed(device, 2)

        assert (unknown["known"], unknown["shown"]) == (False, None)
        assert unknown["detail"]
        assert (early["known"], early["shown"]["price"], early["certain"]) == (True, first, True)
        assert late["shown"]["price"] == 77.5
        assert early["until"] == late["since"]
        history = await device.read("/shown/history?plu=2")
        assert [one["shown"]["price"] for one in history] == [77.5, first]


async def test_an_instant_may_be_written_in_any_zone(database: str) -> None:
    """Without a zone it is the shop's; a plus that is not encoded is a plus."""
    async with open_device(database, 1) as device:
        for zone in ("+03:00", "%2B03:00", "Z", ""):
            for days, known in ((1, True), (-1, False)):
                moment = (utc_now() + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S")
                answer = await device.read(f"/shown?plu=1&at={moment}{zone}")
                assert answer["known"] is known, (zone, days)


async def test_drift_lists_the_products_shown_otherwise_than_desired(database: str) -> None:
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


async def test_a_moment_before_the_retention_is_410(database: str) -> None:
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


async def test_without_a_retention_no_moment_is_410(database: str) -> None:
    async with open_device(database, 1, shown_days=0) as device:
        answer = await device.get("/shown?plu=1&at=1990-01-01T00:00:00Z")

        assert (answer.status_code, answer.json()["known"]) == (200, False)
        assert "X-Kept-Since" not in answer.headers


async def test_a_price_is_sent_to_every_scale_of_the_tenant_and_followed(database: str) -> None:
    """Each owner sees only their own scales."""
    async with (
        open_devices(database, 3, 3, 1) as devices,
        a_scale(3) as of_boris,
        a_scale(3) as elsewhere,
        devices[0].service.client(BORIS) as boris,
        devices[0].service.client(tenant="other") as stranger,
    ):
        service, anna = devices[0].service, devices[0].owner
        theirs = await a_device(service, boris, of_boris)
        await a_device(service, stranger, elsewhere)
        before = elsewhere.base.products[1]["price"]
        change = changed()
        early = await anna.get("/prices/51/delivery")
        assert (early.status_code, early.json()["detail"]) == (404, "Price not found")

        assert await announce(service, change) == 3

        await eventually(lambda: states(anna), ["verified", "verified"])
        await eventually(lambda: states(boris), ["verified"])
        answer = await delivery(anna)
        assert_verified(answer, change)
        by_id = f"/prices/deliveries?price_id={change.price_id}"
        assert (await anna.get(by_id)).json() == answer
        for path in ("/prices/51/delivery", by_id):
            of_boris_only = (await boris.get(path)).json()
            assert [one["id"] for one in of_boris_only["scales"]] == [theirs.number]
            assert of_boris_only["summary"]["scales"] == 1
            assert (await stranger.get(path)).status_code == 404
            async with service.client(uuid4()) as another:
                assert (await another.get(path)).json()["scales"] == []

        prices = {scale.base.products[1]["price"] for scale in (devices[1].scale, of_boris)}
        assert prices == {123.45}
        assert elsewhere.base.products[1]["price"] == before
        edits = await service.events(ProductEdited)
        sources = {(edit.source, edit.edited_by, edit.plu) for edit in edits}
        assert sources == {("price", "gateway", "2")}
        sent = await uploads(service)
        assert {(one.asked_by, one.full) for one in sent} == {("price", False)}
        # Done again, as if a worker had died at it.
        await announce(service, change)
        assert (await service.events(ProductEdited), await uploads(service)) == (edits, sent)
        assert len(await service.events(PriceTaken)) == len(edits)


def assert_verified(answer: Any, change: PriceChanged) -> None:
    """The price is verified on both scales, with the moment of each step."""
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


async def test_a_future_price_waits(database: str) -> None:
    async with open_device(database) as device:
        to_come = changed(9_900, valid_at=utc_now() + timedelta(hours=1))
        await store_price(device.service, to_come)

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


async def test_a_stream_shows_the_delivery_of_a_price(database: str) -> None:
    path = "/prices/51/delivery/stream"
    async with open_device(database, stream_poll_seconds=0.02) as device:
        service = device.service
        await announce(service, changed())
        async with catching_up(service), open_stream(service.app, device.owner, path) as events:
            await events.until(lambda data: [s["state"] for s in data["scales"]] == ["verified"])
