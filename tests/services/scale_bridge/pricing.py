"""Prices as a shop announces them, and their delivery to scales."""

from typing import Any
from uuid import UUID, uuid4

from httpx import AsyncClient

from contracts.scale_bridge import OperationQueued
from contracts.shop import EVENTS, PRICES, PriceChanged, PriceId
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import Metadata, RecordedEvent
from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.reaction import Reaction
from libs.postgres.pool import Pool
from services.scale_bridge.prices import handlers as price
from tests.libs.messaging.wires import StoredRecord, encode_headers
from tests.services.scale_bridge.service import Service
from tests.services.scale_bridge.usual import Usual

ARTICLE = 51
"""The code of a scale's second product."""
CODEC: Codec[Any] = Codec(EVENTS)


def changed(amount: int = 12_345, **different: Any) -> PriceChanged:
    """A price of the article, valid now."""
    made = Usual(utc_now(), article=ARTICLE, currency="RUB", changed_by="gateway")
    return made(PriceChanged, **{"price_id": PriceId(uuid4()), "amount": amount} | different)


def recorded(change: PriceChanged, number: int) -> RecordedEvent:
    """The price as an event of the shop's log."""
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
        metadata=Metadata(tenant="demo", actor="gateway"),
        recorded_at=change.changed_at,
    )


def record(event: RecordedEvent) -> StoredRecord:
    """The event as a record of Kafka, in the order of positions."""
    at = event.position
    headers = encode_headers("shop", event, at, at - 1)
    return StoredRecord(PRICES, 0, at - 1, event.stream.encode(), event.data, headers)


async def announce(service: Service, change: PriceChanged, trace: str | None = None) -> int:
    """React to a price once read models are up to date; the number of devices that took it."""
    await service.caught_up()
    context = service.deps
    taken = await price.change_price(context, change, tenant="demo", trace=trace)
    return len(taken)


async def store_price(service: Service, *changes: PriceChanged) -> None:
    """Store prices, also future ones, for devices that are read later."""
    async with service.deps.system.acquire() as connection:
        for change in changes:
            await price.store_price(connection, change, tenant="demo", currency="RUB")


async def delivery(client: AsyncClient, article: int = ARTICLE) -> dict[str, Any]:
    """The delivery of the last price of an article."""
    answer = await client.get(f"/prices/{article}/delivery")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def states(client: AsyncClient, article: int = ARTICLE) -> list[str]:
    return [one["state"] for one in (await delivery(client, article))["scales"]]


async def by_price(service: Service) -> list[OperationQueued]:
    return [one for one in await service.events(OperationQueued) if one.asked_by == "price"]


async def uploads(service: Service) -> list[OperationQueued]:
    return [one for one in await service.events(OperationQueued) if one.kind == "upload"]


async def work_again_and_again(pool: Pool, reaction: Reaction[PriceChanged]) -> None:
    """Run the reactions, each time ten minutes later, until failures are parked."""
    worker = InboxWorker(pool, reaction)
    for _ in range(10):
        await worker.react()
        await pool.execute(
            "UPDATE inbox SET due_at = due_at - interval '10 min',"
            " retry_at = retry_at - interval '10 min'"
        )
