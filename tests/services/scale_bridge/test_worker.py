"""The worker on a real broker: everything that nobody asks for comes about by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from contracts.shop import EVENTS, PriceChanged, PriceId
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import Cause, RecordedEvent
from libs.messaging.publisher import Publisher
from libs.messaging.topics import ensure_topics, read_topics
from libs.messaging.worker import open_worker
from libs.telemetry.traces import set_up
from services.scale_bridge import bootstrap
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import Inside, eventually, fetched, inside, registered

OURS = ("scale-bridge.", "shop.")


@asynccontextmanager
async def a_house(url: str, kafka: str) -> AsyncIterator[Inside]:
    """The API and a whole worker: relay, projectors, bridge, schedules, healing, prices."""
    different: dict[str, Any] = {
        "kafka_bootstrap_servers": kafka,
        "topic_prefix": f"t{uuid4().hex[:12]}",
        "heal_first_seconds": 0.2,
        "heal_longest_seconds": 1.0,
        "breaker_seconds": 0.5,
        "round_seconds": 0.1,
        "stale_wait_seconds": 15.0,
    }
    async with inside(url, by_worker=True, **different) as made:
        settings, telemetry = made.settings, set_up(bootstrap.SERVICE)
        specs = [spec for spec in read_topics() if spec.category.startswith(OURS)]
        await ensure_topics(kafka, settings.topic_prefix, specs)
        projections = bootstrap.projections(settings)
        opened = open_worker(
            settings, service=bootstrap.SERVICE, projections=projections, telemetry=telemetry
        )
        async with opened as worker, bootstrap.open_tasks(settings, telemetry) as more:
            stop = asyncio.Event()
            tasks = [asyncio.ensure_future(task(stop)) for task in (*worker.tasks, *more)]
            try:
                yield made
            finally:
                stop.set()
                await asyncio.wait_for(asyncio.gather(*tasks), 40)


def told(article: int, amount: int, number: int) -> RecordedEvent:
    now = utc_now()
    change = PriceChanged(
        price_id=PriceId(uuid4()),
        article=article,
        amount=amount,
        currency="RUB",
        valid_at=now - timedelta(seconds=1),
        changed_by="office",
        changed_at=now,
    )
    codec: Codec[Any] = Codec(EVENTS)
    name, version, data = codec.encode(change)
    return RecordedEvent(
        event_id=uuid4(),
        type=name,
        schema_version=version,
        data=data,
        occurred_at=now,
        position=number,
        xid=number,
        stream=f"price-{article}",
        version=number,
        cause=Cause(tenant="demo"),
        recorded_at=now,
    )


async def test_a_price_comes_to_a_scale_that_was_dead_when_it_was_told(
    database: str, kafka_bootstrap: str
) -> None:
    """SCL-9, SCL-16: through broker, inbox, edit, failed upload, probe and healing."""
    async with (
        a_scale(3) as scale,
        a_house(database, kafka_bootstrap) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        await eventually(lambda: board_says(anna, "ok"), 60)

        await scale.power_cut()
        publisher = await Publisher.connect(
            kafka_bootstrap, service="shop", prefix=made.settings.topic_prefix
        )
        await publisher.publish([told(51, 4_250, 1)], 1, {})
        await publisher.close()
        await eventually(lambda: board_says(anna, "unreachable"), 60)

        await scale.power_on()

        async def shown() -> bool:
            return bool(scale.base.products[1]["price"] == 42.5)

        await eventually(shown, 60)
        await eventually(lambda: board_says(anna, "ok"), 60)
        answer = (await anna.get(f"/devices/{number}/shown?plu=2")).json()
        assert answer["shown"]["price"] == 42.5


async def board_says(client: Any, state: str) -> bool:
    devices = (await client.get("/devices/board")).json()["devices"]
    return [one["state"] for one in devices] == [state]
