"""Recording a read-back: facts about the products a scale shows differently than before."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import uuid5

import msgspec

from contracts.scale_bridge import ProductsShown, ScaleBridgeEvent
from libs.errors import NotFound
from libs.eventsourcing.log import Cause
from libs.eventsourcing.store import Fact
from services.scale_bridge.catalogue.domain.displayed_fields import shown_by_plu
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.domain.document import Document
from services.scale_bridge.operations.stores import last_shown
from services.scale_bridge.operations.stores.work import Job

PART: Final = 500
PART_BYTES: Final = 200_000
"""How many products one fact tells of, and how many bytes of them: it must fit into the log."""

_encode = msgspec.json.Encoder().encode


async def record_readback(
    context: Context, job: Job, read: Document, cause: Cause, *, place: str
) -> None:
    """Tell what the scale, read just now, shows that it did not show before. Safe to repeat.

    `place` is where it was read, its address and port: of a scale that is elsewhere by now nothing
    is told, and of one at a new place everything. Raises Unavailable, LogUnavailable.
    """
    try:
        found = await device.load(context, job.tenant, job.device_id)
    except NotFound:
        return
    if place != f"{found.details.ip}:{found.details.port}":
        return
    before = await last_shown.get(context.pool, job.tenant, job.device_id, place)
    now = shown_by_plu(read)
    news = {key: shown for key, shown in now.items() if before.get(key) != shown}
    gone = [key for key in before if key not in now]
    if facts := _facts(job, news, gone, context.clock()):
        await context.store.record(facts, cause=cause)
    await last_shown.save(context.pool, job.tenant, job.device_id, job.operation_id, place, now)


def _facts(
    job: Job, news: Mapping[str, Mapping[str, Any]], gone: Sequence[str], now: datetime
) -> list[Fact[ScaleBridgeEvent]]:
    keys = [*news, *gone]
    return [
        Fact(
            # A read that is told again, after a crash, may be told at another time: one counts.
            event_id=uuid5(job.operation_id, f"shown {now.isoformat()} {number}"),
            stream=f"shown-{job.device_id}",
            event=ProductsShown(
                device_id=job.device_id,
                operation_id=job.operation_id,
                part=number,
                shown={key: news[key] for key in part if key in news},
                gone=tuple(key for key in part if key not in news),
                seen_at=now,
            ),
            occurred_at=now,
        )
        for number, part in enumerate(_parts(news, keys))
    ]


def _parts(news: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> Iterator[list[str]]:
    """The keys in their order, in parts that each fit into a fact; one product always does."""
    part, room = list[str](), PART_BYTES
    for key in keys:
        size = len(_encode((key, news.get(key))))
        if part and (len(part) >= PART or size > room):
            yield part
            part, room = [], PART_BYTES
        part.append(key)
        room -= size
    if part:
        yield part
