"""Numbers and texts that no table can hold, in every place of every route (R16)."""

from uuid import uuid4

from libs.testing.extremes import assert_extremes_are_answered
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.pricing import ARTICLE, announce, changed
from tests.services.scale_bridge.service import a_device, open_service, running_worker

STREAMS = (
    ("GET", "/devices/board/stream"),
    ("GET", "/prices/{article}/delivery/stream"),
)


async def test_what_no_column_can_hold_is_refused_on_every_route(database: str) -> None:
    async with (
        a_scale(3) as scale,
        open_service(database) as service,
        service.client(scopes=["scales:read", "scales:write"]) as anna,
        service.client(uuid4(), scopes=["scales:bridge"]) as agent,
    ):
        async with running_worker(service.settings):
            device = await a_device(service, anna, scale)
        await announce(service, changed())
        usual = {
            "device_id": str(device.number),
            "operation_id": str(uuid4()),
            "article": str(ARTICLE),
            "price_id": str(uuid4()),
            "plu": "1",
            "revision": "1",
            "message_id": "1",
        }
        document = service.app.openapi()
        made = await assert_extremes_are_answered(anna, document, usual=usual, except_for=STREAMS)
        assert made > 200
        await assert_extremes_are_answered(
            agent,
            {**document, "paths": {"/bridges/key": document["paths"]["/bridges/key"]}},
            usual={},
        )
