"""Applies the shop's prices to the catalogues of all scales that sell the article.

A price is stored, and applied again after every fetch. A person may override it until the shop
announces a new one. Safe to repeat: the catalogue's own history has the prices it took, so a
repeated price does not undo what a person set in between.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid5

import structlog

from contracts.scale_bridge import DeviceId, OperationId
from contracts.shop import PriceChanged
from libs.errors import NotFound, Unavailable
from libs.eventsourcing.log import Metadata
from libs.postgres.pool import acquire
from libs.process.periodic import Periodic
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
from services.scale_bridge.devices.read_models import device as devices
from services.scale_bridge.driver.domain.document import products
from services.scale_bridge.monitoring.read_models import drift
from services.scale_bridge.monitoring.read_models.drift import ArticleLocation
from services.scale_bridge.operations.domain import OperationUnknown, Stage
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.operation import OperationRequest
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.prices import stores as prices
from services.scale_bridge.prices.domain import OtherCurrency
from services.scale_bridge.prices.read_models import price_delivery
from services.scale_bridge.transfer.domain.kinds import Kind

log = structlog.get_logger(__name__)

MISSING_SECONDS: Final = 15.0
"""How often recent prices are set on scales that missed them."""
GATHER: Final = timedelta(seconds=1)
"""Prices come in groups: one upload sends all that came within this time."""
AT_ONCE: Final = 8
ATTEMPTS: Final = 50
RECENT: Final = timedelta(hours=1)
"""How long after its announcement a price is applied to scales that missed it."""


async def store_price(
    connection: Any, change: PriceChanged, *, tenant: str, currency: str, trace: str | None = None
) -> ShopPrice:
    """Store a price, also one that is not valid yet.

    `trace` is the correlation id of the announcement. Safe to repeat. Raises BadFields for an
    invalid price, OtherCurrency.
    """
    if change.currency != currency:
        raise OtherCurrency
    price = shop_price_of(change, trace=trace)
    if price is None:
        raise BadFields({"price": "must be a finite number, 0 or more"})
    await prices.save(connection, tenant, price)
    return price


async def change_price(
    context: Context, change: PriceChanged, *, tenant: str, trace: str | None = None
) -> list[DeviceId]:
    """Set a price on every scale of the tenant that sells the article, and queue uploads.

    Returns the scales, none if the tenant has none. If a later price is valid by now, that one is
    set. Raises what `store_price` raises, Unavailable, LogUnavailable; and BeyondModel if the model
    of a scale cannot show the price (SCL-8): all others have it then.
    """
    async with acquire(context.system) as connection:
        if not await devices.has_any(connection, tenant):
            # Their shop may well have another currency.
            return []
        currency = context.settings.currency
        await store_price(connection, change, tenant=tenant, currency=currency, trace=trace)
        now = context.clock()
        current = await prices.current(connection, tenant, [change.article], now)
        locations = await drift.locations_of(connection, tenant, change.article)
    price = current.get(change.article)
    if price is None:
        return []
    slots = asyncio.Semaphore(AT_ONCE)

    async def apply(location: ArticleLocation) -> DeviceId | BadFields | None:
        async with slots:
            try:
                taken = await _take(context, tenant, location, price)
            except BadFields as error:
                return error
            return location.device_id if taken else None

    results = await asyncio.gather(*(apply(location) for location in locations))
    refused = next((result for result in results if isinstance(result, BadFields)), None)
    if refused is not None:
        raise refused
    return sorted({result for result in results if isinstance(result, UUID)})


async def reapply(context: Context, job: Job, *, since: int | None, sends: bool) -> None:
    """Apply the shop's prices to a catalogue that a job has just read from its scale.

    Prices that people set after the revision `since` take precedence over a price that the
    catalogue never took. With `sends`, one upload follows; if it fails, the rest is left to
    automatic recovery. Safe to repeat. Raises Unavailable, LogUnavailable.
    """
    for _ in range(ATTEMPTS):
        try:
            copy, by_article = await _with_prices(context, job, since)
        except EditedMeanwhile:
            continue
        first = next(_unsent(copy, by_article), None)
        if sends and first is not None:
            its_id = OperationId(uuid5(job.operation_id, "prices"))
            await operation.enqueue(context, _upload(job.tenant, job.device_id, its_id, first))
        return
    raise Unavailable("catalogue")


async def _with_prices(
    context: Context, job: Job, since: int | None
) -> tuple[Catalogue, Mapping[int, ShopPrice]]:
    """The catalogue with the prices set, and the prices by article.

    Raises EditedMeanwhile if the catalogue changed meanwhile.
    """
    tenant, device_id, now = job.tenant, job.device_id, context.clock()
    copy = (await catalogue.load(context, tenant, device_id)).catalogue
    articles = {
        code for item in products(copy.current_document) if (code := article_of(item)) is not None
    }
    if not articles:
        return copy, {}
    async with acquire(context.system) as connection:
        by_article = await prices.current(connection, tenant, articles, now)
    limits = await _limits(context, tenant, device_id)
    changes = await catalogue.changes_after(context, tenant, device_id, since)
    people = set_by_people(changes, {"price"})
    commands = [
        (
            TakePrice(
                device_id=device_id,
                plu=plu,
                price=price,
                now=now,
                limits=limits,
                set_by=people.get(plu),
            ),
            _metadata(tenant, price),
        )
        for plu, price in due_prices(copy, by_article)
    ]
    if commands:
        many = Metadata(tenant=tenant, actor=BY_PRICE, causation_id=str(job.operation_id))
        copy = await catalogue.change_each(
            context, device_id, commands, many=many, seen=copy.revision
        )
    return copy, by_article


def job(context: Context) -> Periodic:
    """The job of workers that sets recent prices on scales that missed them."""
    return Periodic(
        "prices", partial(catch_up, context), max(context.settings.round_seconds, MISSING_SECONDS)
    )


async def catch_up(context: Context, *, limit: int = 500) -> int:
    """Set recent prices on scales that were not known to sell the article then; how many."""
    now = context.clock()
    async with acquire(context.system) as connection:
        missed = await price_delivery.missed(connection, now - RECENT, now, limit=limit)
        current = {
            (one.tenant, one.article): price
            for one in missed
            for price in (await prices.current(connection, one.tenant, [one.article], now)).values()
        }
    taken = 0
    for one in missed:
        price = current.get((one.tenant, one.article))
        if price is not None:
            location = ArticleLocation(one.device_id, one.plu)
            try:
                taken += await _take(context, one.tenant, location, price)
            except BadFields as error:
                # The announcement itself is parked; other prices are applied.
                log.debug("price not taken", device=str(one.device_id), reasons=error.reasons)
    return taken


async def _take(context: Context, tenant: str, location: ArticleLocation, price: ShopPrice) -> bool:
    """Set a price on a scale; whether the scale took it. Queues an upload if that is needed."""
    device_id, plu = location.device_id, location.plu
    command = TakePrice(
        device_id=device_id,
        plu=plu,
        price=price,
        now=context.clock(),
        limits=await _limits(context, tenant, device_id),
    )
    try:
        changed = await catalogue.change(context, device_id, command, _metadata(tenant, price))
    except NotFound:
        # The product was removed since the read model was queried.
        return False
    taken = changed.catalogue.taken.get(plu)
    if taken is None or taken.price_id != price.price_id:
        return False
    if is_unsent(changed.catalogue, plu):
        await _enqueue_upload(context, tenant, device_id, price)
    return True


async def _limits(context: Context, tenant: str, device_id: DeviceId) -> Limits:
    """The limits of the scale's model."""
    try:
        return limits_of((await device.load(context, tenant, device_id)).device.profile.model)
    except NotFound:
        return PERMISSIVE


async def _enqueue_upload(
    context: Context, tenant: str, device_id: DeviceId, price: ShopPrice
) -> None:
    """Queue an upload that begins a little later: one for all prices within `GATHER`."""
    now = context.clock()
    number = int(now.timestamp() / GATHER.total_seconds()) + 1
    for beat in (number, number + 1):
        begins = datetime.fromtimestamp(beat * GATHER.total_seconds(), now.tzinfo)
        its_id = OperationId(uuid5(device_id, f"prices {beat}"))
        request = replace(
            _upload(tenant, device_id, its_id, price), after_seconds=(begins - now).total_seconds()
        )
        try:
            await operation.enqueue(context, request)
            state = await operation.load(context, tenant, its_id)
        except (NotFound, OperationUnknown):
            return
        if state.stage is Stage.QUEUED:
            return


def _upload(
    tenant: str, device_id: DeviceId, operation_id: OperationId, price: ShopPrice
) -> OperationRequest:
    return OperationRequest(
        tenant=tenant,
        device_id=device_id,
        operation_id=operation_id,
        kind=Kind.UPLOAD,
        asked_by=BY_PRICE,
        correlation_id=price.trace,
        causation_id=str(price.price_id),
    )


def _metadata(tenant: str, price: ShopPrice) -> Metadata:
    return Metadata(
        tenant=tenant,
        actor=price.announced_by,
        correlation_id=price.trace,
        causation_id=str(price.price_id),
    )


def _unsent(copy: Catalogue, by_article: Mapping[int, ShopPrice]) -> Iterator[ShopPrice]:
    for plu, taken in copy.taken.items():
        if taken.article in by_article and is_unsent(copy, plu):
            yield by_article[taken.article]
