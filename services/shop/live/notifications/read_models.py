"""When is a customer's next important date due? One timer per customer, and what it does."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import (
    CustomerChanged,
    CustomerForgotten,
    CustomerMergedAway,
    CustomerRegistered,
    CustomersMerged,
    ShopEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.jobs.timers import Timers
from libs.projections.projection import Connection, Projection, by_stream
from libs.security.data_keys import Subject, text_of
from libs.security.vault import VaultReader
from services.shop.customers.domain.person import Person, subject_id
from services.shop.live.notifications.domain import reminders

REMINDERS: Final = Timers("reminder")
"""The key of a timer is the customer's id."""


class Payload(msgspec.Struct, frozen=True):
    """Of a timer: dates on the day of `after` or later count."""

    after: datetime


def projection(reader: VaultReader, zone: ZoneInfo) -> Projection[ShopEvent]:
    """The projection, which opens the sealed records with `reader`; days are those of `zone`."""
    return Projection(
        name="reminder",
        tables=(),
        topics=(shop.CUSTOMERS,),
        codec=codec_of(shop.EVENTS),
        project=partial(project, reader=reader, zone=zone),
        shard_key=by_stream,
    )


async def project(
    connection: Connection,
    events: Sequence[Envelope[ShopEvent]],
    *,
    reader: VaultReader,
    zone: ZoneInfo,
) -> None:
    """Set each customer's timer to the first reminder that the record asks for."""
    records: list[tuple[Envelope[Any], Subject, str]] = [
        (one, Subject(one.tenant, subject_id(event.customer_id)), event.person)
        for one in events
        if isinstance(event := one.event, CustomerRegistered | CustomerChanged | CustomersMerged)
    ]
    opened = await reader.open_many(connection, [(subject, text) for _, subject, text in records])
    for (envelope, _, _), text in zip(records, map(text_of, opened), strict=True):
        await _set_timer(connection, envelope, text, zone)
    for one in events:
        if isinstance(event := one.event, CustomerMergedAway | CustomerForgotten):
            key = str(event.customer_id)
            await REMINDERS.cancel(connection, one.tenant, key, version=one.version)


async def _set_timer(
    connection: Connection, envelope: Envelope[Any], text: str | None, zone: ZoneInfo
) -> None:
    dates = () if text is None else msgspec.json.decode(text, type=Person).dates
    after, tenant, version = envelope.occurred_at, envelope.tenant, envelope.version
    key = str(envelope.event.customer_id)
    if coming := reminders(dates, after, zone):
        at, payload = coming[0].at, Payload(after)
        await REMINDERS.put(connection, tenant, key, at, payload, version=version)
    else:
        await REMINDERS.cancel(connection, tenant, key, version=version)
