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
from tests.services.scale_bridge.pricing import ARTICLE, changed, recorded, uploads
from tests.services.scale_bridge.service import Device, open_device


@asynccontextmanager
async def announced_to(
    database: str, kafka_bootstrap: str, *, listens: bool = False
) -> AsyncIterator[tuple[Device, Publisher]]:
    """A device, and the shop's relay, to which the service reacts; `listens` to prices to come."""
    prefix = f"t{uuid4().hex[:12]}"
    specs = [TopicSpec(category="shop.price", partitions=3, retention_days=1)]
    await ensure_topics(kafka_bootstrap, prefix, specs)
    settings: dict[str, Any] = {"kafka_bootstrap_servers": kafka_bootstrap, "topic_prefix": prefix}
    async with open_device(database, **settings) as device:
        await device.service.caught_up()
        desk, stop = device.service.deps.desk, asyncio.Event()
        publisher = await Publisher.connect(kafka_bootstrap, service="shop", prefix=prefix)
        makers = (reactor, listener) if listens else (reactor,)
        reactors = [make(device.service.settings, desk).run(stop) for make in makers]
        running = asyncio.gather(*reactors)
        try:
            yield device, publisher
        finally:
            stop.set()
            await running
            await publisher.close()


async def test_published_prices_reach_the_scale(database: str, kafka_bootstrap: str) -> None:
    """From Kafka to the label: of two prices the one that is valid later, and not one to come."""
    async with announced_to(database, kafka_bootstrap) as (device, publisher):
        now = utc_now()
        facts = [
            recorded(changed(100, valid_at=now - timedelta(minutes=2)), 1),
            recorded(changed(777, valid_at=now - timedelta(minutes=1)), 2),
            recorded(changed(999, valid_at=now + timedelta(hours=1)), 3),
        ]
        await publisher.publish(facts, 1, {})

        await device.shows(7.77)

        async def outcomes() -> list[str | None]:
            pool = device.service.deps.desk.pool
            rows = await pool.fetch("SELECT outcome FROM inbox ORDER BY due_at")
            return [row["outcome"] for row in rows][1:]

        await eventually(outcomes, ["done", None])
        # The first may have been done before the second came.
        edits = [edit.after for edit in await device.service.events(ProductEdited)]
        assert edits[-1] == {"price": 7.77}
        assert {"price": 9.99} not in edits


async def test_a_published_price_can_be_followed_and_is_recorded_once(
    database: str, kafka_bootstrap: str
) -> None:
    """Published twice, and done again as if a worker had died at it; and one to come is known."""
    async with announced_to(database, kafka_bootstrap, listens=True) as (device, publisher):
        service, path = device.service, f"/prices/{ARTICLE}/delivery"
        now = utc_now()
        present = changed(777, valid_at=now - timedelta(minutes=1))
        coming = changed(999, valid_at=now + timedelta(hours=1))
        await publisher.publish([recorded(present, 1), recorded(coming, 2)], 1, {})

        async def found() -> tuple[list[str], str, list[str]]:
            answer = await device.owner.get(path)
            assert answer.status_code == 200
            body = answer.json()
            states = [one["state"] for one in body["scales"]]
            ids = [one["price_id"] for one in body["coming"]]
            return states, body["price"]["price_id"], ids

        await eventually(found, (["verified"], str(present.price_id), [str(coming.price_id)]))

        # Another fact of the same price; and what was done is to be done again.
        await publisher.publish([recorded(present, 3)], 2, {})
        await service.execute("UPDATE inbox SET done_at = NULL WHERE due_at <= now()")
        left = "SELECT count(*) FROM inbox WHERE done_at IS NULL"
        await eventually(lambda: service.fetch_value(left), 1)
        [taken] = await service.events(PriceTaken)
        assert taken.price_id == present.price_id
        assert len(await service.events(ProductEdited)) == 1
        assert len(await uploads(service)) == 1
