"""A price from the broker to the label, and to whoever asks where it is (SCL-16)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from contracts.scale_bridge import OperationQueued, PriceTaken, ProductEdited
from contracts.shop import EVENTS, PriceChanged
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import Cause, RecordedEvent
from libs.messaging.publisher import Publisher
from libs.messaging.topics import TopicSpec, ensure_topics
from services.scale_bridge.bootstrap import listener, reactor
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import Inside, eventually, fetched, registered, working
from tests.services.scale_bridge.pricing import ARTICLE, changed

CODEC: Codec[Any] = Codec(EVENTS)


@asynccontextmanager
async def shop_announcing(made: Inside) -> AsyncIterator[Publisher]:
    """The shop's relay, and the bridge's reaction to it."""
    settings = made.settings
    specs = [TopicSpec(category="shop.price", partitions=3, retention_days=1)]
    await ensure_topics(settings.kafka_bootstrap_servers, settings.topic_prefix, specs)
    publisher = await Publisher.connect(
        settings.kafka_bootstrap_servers, service="shop", prefix=settings.topic_prefix
    )
    stop = asyncio.Event()
    reacting = asyncio.create_task(reactor(settings, made.deps.desk).run(stop))
    try:
        yield publisher
    finally:
        stop.set()
        await reacting
        await publisher.close()


def recorded(change: PriceChanged, number: int) -> RecordedEvent:
    name, version, data = CODEC.encode(change)
    return RecordedEvent(
        event_id=UUID(int=number),
        type=name,
        schema_version=version,
        data=data,
        occurred_at=change.changed_at,
        position=number,
        xid=number,
        stream=f"price-{change.article}",
        version=number,
        cause=Cause(tenant="demo", actor="office"),
        recorded_at=change.changed_at,
    )


async def test_published_prices_reach_the_scale(database: str, kafka_bootstrap: str) -> None:
    """From Kafka to the label: of two prices the one that is valid later, and not one to come."""
    settings = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "topic_prefix": f"t{uuid4().hex[:12]}",
    }
    async with (
        a_scale(3) as scale,
        working(database, **settings) as made,
        made.client() as anna,
        shop_announcing(made) as publisher,
    ):
        await fetched(anna, await registered(anna, scale))
        await made.fresh.caught_up("drift")
        now = utc_now()
        facts = [
            recorded(changed(100, valid_at=now - timedelta(minutes=2)), 1),
            recorded(changed(777, valid_at=now - timedelta(minutes=1)), 2),
            recorded(changed(999, valid_at=now + timedelta(hours=1)), 3),
        ]
        await publisher.publish(facts, 1, {})

        async def shown() -> bool:
            return bool(scale.base.products[1]["price"] == 7.77)

        await eventually(shown, 60)

        async def recorded_done() -> bool:
            rows = await made.deps.desk.pool.fetch("SELECT outcome FROM inbox ORDER BY due_at")
            return [row["outcome"] for row in rows][1:] == ["done", None]

        await eventually(recorded_done, 60)
        # The first may have been done before the second came.
        edits = [edit.after for edit in await made.events(ProductEdited)]
        assert edits[-1] == {"price": 7.77}
        assert {"price": 9.99} not in edits


@asynccontextmanager
async def everybody_listening(made: Inside) -> AsyncIterator[Publisher]:
    """As in a worker: who remembers, and who does."""
    stop = asyncio.Event()
    async with shop_announcing(made) as publisher:
        hearing = asyncio.create_task(listener(made.settings, made.deps.desk).run(stop))
        try:
            yield publisher
        finally:
            stop.set()
            await hearing


async def test_a_published_price_can_be_followed_and_is_told_once(
    database: str, kafka_bootstrap: str
) -> None:
    """Told twice, to two who react, of whom one died at it; and one to come is known."""
    settings = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "topic_prefix": f"t{uuid4().hex[:12]}",
    }
    async with (
        a_scale(3) as scale,
        working(database, **settings) as made,
        made.client() as anna,
        everybody_listening(made) as publisher,
    ):
        await fetched(anna, await registered(anna, scale))
        await made.fresh.caught_up("drift")
        now = utc_now()
        present = changed(777, valid_at=now - timedelta(minutes=1))
        coming = changed(999, valid_at=now + timedelta(hours=1))
        await publisher.publish([recorded(present, 1), recorded(coming, 2)], 1, {})

        async def verified() -> bool:
            answer = await anna.get(f"/prices/{ARTICLE}/delivery")
            if answer.status_code != 200 or not answer.json()["coming"]:
                return False
            told = answer.json()
            return [one["state"] for one in told["scales"]] == ["verified"]

        await eventually(verified, 60)
        told = (await anna.get(f"/prices/{ARTICLE}/delivery")).json()
        assert told["price"]["price_id"] == str(present.price_id)
        assert [one["price_id"] for one in told["coming"]] == [str(coming.price_id)]

        # Another fact of the same price; and what was done is to be done again.
        await publisher.publish([recorded(present, 3)], 2, {})
        await made.deps.desk.pool.execute("UPDATE inbox SET done_at = NULL WHERE due_at <= now()")

        async def done_again() -> bool:
            rows = await made.deps.desk.pool.fetch("SELECT FROM inbox WHERE done_at IS NULL")
            return len(rows) == 1

        await eventually(done_again, 60)
        [taken] = await made.events(PriceTaken)
        assert taken.price_id == present.price_id
        assert len(await made.events(ProductEdited)) == 1
        uploads = [one for one in await made.events(OperationQueued) if one.kind == "upload"]
        assert len(uploads) == 1
