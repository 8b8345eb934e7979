"""What happens when an article costs something else: every scale that sells it is to show it.

The shop's word is remembered, and holds against what a scale is found to show; a person may
overrule it until the shop says something new. Safe to repeat: what was told of a price is in the
catalogue's own history, so that a repeated price does not undo what a person did in between.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import structlog

from contracts.scale_bridge import DeviceId, OperationId
from contracts.shop import PriceChanged
from libs.errors import NotFound, Unavailable
from libs.eventsourcing.log import Metadata
from libs.postgres.pool import acquire
from services.scale_bridge.catalogue.domain.catalogue import Catalogue, TakePrice
from services.scale_bridge.catalogue.domain.fetched import EditedMeanwhile, set_by_people
from services.scale_bridge.catalogue.domain.model import PERMISSIVE, Limits, limits_of
from services.scale_bridge.catalogue.domain.prices import (
    BY_PRICE,
    article_of,
    due_prices,
    is_unsent,
)
from services.scale_bridge.catalogue.domain.product import BadFields
from services.scale_bridge.catalogue.domain.shop_price import ShopPrice, shop_price_of
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device
from services.scale_bridge.driver.domain.document import products
from services.scale_bridge.monitoring.read_models import drift
from services.scale_bridge.monitoring.read_models.drift import ArticleLocation
from services.scale_bridge.operations.domain import OperationUnknown, Stage
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.requests import OperationRequest
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.prices import stores as prices
from services.scale_bridge.prices.read_models import price_delivery
from services.scale_bridge.transfer.domain.kinds import Kind

log = structlog.get_logger(__name__)

GATHER: Final = timedelta(seconds=1)
"""Prices seldom come alone: one upload takes all that came within this time."""
AT_ONCE: Final = 8
ATTEMPTS: Final = 50
RECENT: Final = timedelta(hours=1)
"""For how long is looked whether a price came to every scale there is by then."""


async def remember(
    context: Context, change: PriceChanged, *, tenant: str, currency: str, trace: str | None = None
) -> ShopPrice | None:
    """Keep what the shop said, valid yet or not; None if it is in another currency.

    `trace` is the correlation id of whatever led to it. Raises BadFields for what is no price,
    Unavailable.
    """
    if change.currency != currency:
        log.warning("price in another currency", price=str(change.price_id))
        return None
    said = shop_price_of(change, trace=trace)
    if said is None:
        raise BadFields({"price": "must be a finite number, 0 or more"})
    await prices.save(context.pool, tenant, said)
    return said


async def change_price(
    context: Context, change: PriceChanged, *, tenant: str, currency: str, trace: str | None = None
) -> list[DeviceId]:
    """Edit the article on every scale of the tenant that has it, and order uploads; which scales.

    If there is a later price by now, that one is taken. One in another currency than the scales'
    changes nothing. Raises what `remember` raises, LogUnavailable, and BeyondModel once it is
    everywhere else if the model of a scale cannot show it (SCL-8).
    """
    if await remember(context, change, tenant=tenant, currency=currency, trace=trace) is None:
        return []
    async with acquire(context.pool) as connection:
        now = context.clock()
        said = (await prices.current(connection, tenant, [change.article], now)).get(change.article)
        places = await drift.holding(connection, tenant, change.article)
    if said is None:
        return []
    turns = asyncio.Semaphore(AT_ONCE)

    async def at(place: ArticleLocation) -> DeviceId | BadFields | None:
        async with turns:
            try:
                return place.device_id if await _take(context, tenant, place, said) else None
            except BadFields as error:
                return error

    taken = await asyncio.gather(*(at(place) for place in places))
    refused = next((one for one in taken if isinstance(one, BadFields)), None)
    if refused is not None:
        raise refused
    return sorted({one for one in taken if isinstance(one, UUID)})


async def hold(context: Context, job: Job, *, since: int | None, sends: bool) -> None:
    """Lead a catalogue, read from its scale by a job just now, back to the shop's prices.

    What people set after the revision `since` holds against a price that was not known here before.
    If it `sends`, one upload follows, whatever the scale makes of it: a scale that refuses or lies
    is left to healing's patience. Safe to repeat. Raises Unavailable, LogUnavailable.
    """
    for _ in range(ATTEMPTS):
        try:
            copy, said = await _held(context, job, since)
        except EditedMeanwhile:
            continue
        first = next(_unsent(copy, said), None)
        if sends and first is not None:
            its_id = OperationId(uuid5(job.operation_id, "prices"))
            await operation.enqueue(context, _upload(job.tenant, job.device_id, its_id, first))
        return
    raise Unavailable("catalogue")


async def _held(
    context: Context, job: Job, since: int | None
) -> tuple[Catalogue, Mapping[int, ShopPrice]]:
    """The catalogue with the prices, by article. Raises EditedMeanwhile if it changed again."""
    tenant, device_id, now = job.tenant, job.device_id, context.clock()
    copy = (await catalogue.load(context, tenant, device_id)).catalogue
    articles = {
        code for item in products(copy.current_document) if (code := article_of(item)) is not None
    }
    if not articles:
        return copy, {}
    async with acquire(context.pool) as connection:
        said = await prices.current(connection, tenant, articles, now)
    limits = await _limits(context, tenant, device_id)
    changes = await catalogue.changes_after(context, tenant, device_id, since)
    people = set_by_people(changes, {"price"})
    commands = [
        (
            TakePrice(
                device_id=device_id,
                plu=plu,
                price=one,
                now=now,
                limits=limits,
                set_by=people.get(plu),
            ),
            _metadata(tenant, one),
        )
        for plu, one in due_prices(copy, said)
    ]
    if commands:
        many = Metadata(tenant=tenant, actor=BY_PRICE, causation_id=str(job.operation_id))
        copy = await catalogue.change_each(
            context, device_id, commands, many=many, seen=copy.revision
        )
    return copy, said


async def catch_up(context: Context, *, limit: int = 500) -> int:
    """Take prices that came before it was known that a scale sells the article; how many."""
    now = context.clock()
    async with acquire(context.pool) as connection:
        missed = await price_delivery.missed(connection, now - RECENT, now, limit=limit)
        said = {
            (one.tenant, one.article): price
            for one in missed
            for price in (await prices.current(connection, one.tenant, [one.article], now)).values()
        }
    taken = 0
    for one in missed:
        price = said.get((one.tenant, one.article))
        if price is not None:
            place = ArticleLocation(one.device_id, one.plu)
            try:
                taken += await _take(context, one.tenant, place, price)
            except BadFields as error:
                # The announcement itself is parked; other prices go on.
                log.debug("price not taken", device=str(one.device_id), reasons=error.reasons)
    return taken


async def _take(context: Context, tenant: str, place: ArticleLocation, said: ShopPrice) -> bool:
    """Whether the article is there; if its scale does not hold the price, an upload is ordered."""
    command = TakePrice(
        device_id=place.device_id,
        plu=place.plu,
        price=said,
        now=context.clock(),
        limits=await _limits(context, tenant, place.device_id),
    )
    try:
        changed = await catalogue.change(context, place.device_id, command, _metadata(tenant, said))
    except NotFound:
        # It was there a moment ago and has been removed since.
        return False
    taken = changed.catalogue.taken.get(place.plu)
    if taken is None or taken.price_id != said.price_id:
        return False
    if is_unsent(changed.catalogue, place.plu):
        await _order(context, tenant, place.device_id, said)
    return True


async def _limits(context: Context, tenant: str, device_id: DeviceId) -> Limits:
    """Those of the scale's model."""
    try:
        return limits_of((await device.load(context, tenant, device_id)).device.profile.model)
    except NotFound:
        return PERMISSIVE


async def _order(context: Context, tenant: str, device_id: DeviceId, said: ShopPrice) -> None:
    """Order an upload that begins after now, the same one for all who ask within `GATHER`."""
    now = context.clock()
    number = int(now.timestamp() / GATHER.total_seconds()) + 1
    for beat in (number, number + 1):
        begins = datetime.fromtimestamp(beat * GATHER.total_seconds(), now.tzinfo)
        its_id = OperationId(uuid5(device_id, f"prices {beat}"))
        ordered = replace(
            _upload(tenant, device_id, its_id, said), after_seconds=(begins - now).total_seconds()
        )
        try:
            await operation.enqueue(context, ordered)
            found = await operation.load(context, tenant, its_id)
        except (NotFound, OperationUnknown):
            return
        if found.stage is Stage.QUEUED:
            return


def _upload(
    tenant: str, device_id: DeviceId, operation_id: OperationId, said: ShopPrice
) -> OperationRequest:
    return OperationRequest(
        tenant=tenant,
        device_id=device_id,
        operation_id=operation_id,
        kind=Kind.UPLOAD,
        asked_by=BY_PRICE,
        correlation_id=said.trace,
        causation_id=str(said.price_id),
    )


def _metadata(tenant: str, said: ShopPrice) -> Metadata:
    return Metadata(
        tenant=tenant,
        actor=said.announced_by,
        correlation_id=said.trace,
        causation_id=str(said.price_id),
    )


def _unsent(copy: Catalogue, said: Mapping[int, ShopPrice]) -> Iterator[ShopPrice]:
    for plu, taken in copy.taken.items():
        if taken.article in said and is_unsent(copy, plu):
            yield said[taken.article]
