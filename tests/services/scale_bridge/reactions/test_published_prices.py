"""A price from the broker to the label, and to callers that follow it (SCL-16)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from contracts.scale_bridge import PriceTaken, ProductEdited
from libs.clock import utc_now
from libs.messaging.publisher import Publisher
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.testing.waiting import eventually
from services.scale_bridge.bootstrap import listener, reactor
from services.scale_bridge.reactions import shop
from tests.services.scale_bridge.pricing import changed, delivery, recorded, uploads
from tests.services.scale_bridge.service import Device, open_device


@asynccontextmanager
async def announced_to(
    database: str, kafka_bootstrap: str
) -> AsyncIterator[tuple[Device, Publisher]]:
    """A device, and the shop's relay, to which the service reacts as its worker does."""
    prefix = f"t{uuid4().hex[:12]}"
    specs = [TopicSpec(category="shop.price", partitions=3, retention_days=1)]
    await ensure_topics(kafka_bootstrap, prefix, specs)
    brokers: dict[str, Any] = {"kafka_bootstrap_servers": kafka_bootstrap}
    async with open_device(database, topic_prefix=prefix, **brokers) as device:
        await device.service.caught_up()
        settings, desk = device.service.settings, device.service.deps.desk
        publisher = await Publisher.connect(kafka_bootstrap, service="shop", prefix=prefix)
        stop = asyncio.Event()
        running = asyncio.gather(*(make(settings, desk).run(stop) for make in (reactor, listener)))
        try:
            yield device, publisher
        finally:
            stop.set()
            await running
            await publisher.close()


async def found(device: Device) -> tuple[list[str], str, list[str]]:
    """States of the price by scale, its id, and the ids of those to come."""
    answer = await delivery(device.owner)
    states = [one["state"] for one in answer["scales"]]
    return states, answer["price"]["price_id"], [one["price_id"] for one in answer["coming"]]


async def outcomes(device: Device) -> list[str | None]:
    """What became of the prices, in the order in which they are valid."""
    query = "SELECT outcome FROM inbox WHERE reaction = $1 ORDER BY due_at"
    rows = await device.service.deps.desk.pool.fetch(query, shop.NAME)
    return [row["outcome"] for row in rows]


async def test_a_published_price_reaches_the_scale_once_and_can_be_followed(
    database: str, kafka_bootstrap: str
) -> None:
    """Of those that are valid the last, and not one to come.

    Published twice, and done again as if a worker had died at it, it is still recorded once.
    """
    async with announced_to(database, kafka_bootstrap) as (device, publisher):
        service, now = device.service, utc_now()
        past, present, coming = [
            changed(amount, valid_at=now + timedelta(minutes=minutes))
            for amount, minutes in ((100, -2), (777, -1), (999, 60))
        ]
        facts = [recorded(past, 1), recorded(present, 2), recorded(coming, 3)]
        await publisher.publish(facts, 1, {})

        expected = (["verified"], str(present.price_id), [str(coming.price_id)])
        await eventually(lambda: found(device), expected)
        assert device.scale.base.products[1]["price"] == 7.77
        # The first may have been done before the second came.
        assert (await outcomes(device))[1:] == ["done", None]
        edits = await service.events(ProductEdited)
        assert edits[-1].after == {"price": 7.77}
        assert {"price": 9.99} not in [edit.after for edit in edits]
        sent = await uploads(service)

        # Another fact of the same price; and what was done is to be done again.
        await publisher.publish([recorded(present, 4)], 2, {})
        await service.execute("UPDATE inbox SET done_at = NULL WHERE due_at <= now()")
        left = "SELECT count(*) FROM inbox WHERE done_at IS NULL"
        await eventually(lambda: service.fetch_value(left), 1)
        taken = [one.price_id for one in await service.events(PriceTaken)]
        assert taken.count(present.price_id) == 1
        assert await service.events(ProductEdited) == edits
        assert await uploads(service) == sent
