"""The answer about the delivery of a price, scale by scale (SCL-16)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict

from libs.http.auth import Principal
from services.scale_bridge.catalogue.domain.shop_price import Price
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.prices import stores as prices
from services.scale_bridge.prices.domain import SETTLED, State, price_state
from services.scale_bridge.prices.read_models import price_delivery
from services.scale_bridge.prices.read_models.price_delivery import DeliveryRow


class Announced(BaseModel):
    """A price as the shop announced it, in the currency's major units."""

    model_config = ConfigDict(from_attributes=True)

    price_id: UUID
    article: int
    price: float
    valid_at: datetime
    announced_at: datetime


class Arrival(BaseModel):
    """The delivery of a price to one scale, and the moment of each step.

    `state`: waiting, taken, sending, applied, verified, failed, overridden, or gone if the scale
    sells the article no more. `shown` is the price that was last read from the scale.
    `overridden_by` is an account, or `price` for a later price.
    """

    id: int
    name: str
    plu: str
    state: State
    code: str | None
    detail: str | None
    shown: float | None
    changed: bool | None
    revision: int | None
    taken_at: datetime | None
    sending_at: datetime | None
    applied_at: datetime | None
    verified_at: datetime | None
    failed_at: datetime | None
    overridden_at: datetime | None
    overridden_by: str | None


class Summary(BaseModel):
    """The delivery to all scales; it is outstanding on `behind` of them.

    `seconds` passed from when the price was announced and valid until the last scale showed it.
    """

    scales: int
    verified: int
    behind: int
    seconds: float | None


class Delivery(BaseModel):
    """A price and its delivery; `coming` are later prices of the article, not valid yet."""

    price: Announced
    summary: Summary
    scales: list[Arrival]
    coming: list[Announced] = []


async def delivery_of(connection: Any, caller: Principal, price: Price, now: datetime) -> Delivery:
    """The delivery of a price. Scales that never took it count only while no later one is valid."""
    last = await prices.current(connection, caller.tenant, [price.article], now)
    current = last.get(price.article)
    may_come = price.valid_at > now or current is None or current.price_id == price.price_id
    included = [
        row
        for row in await price_delivery.rows(
            connection, caller.tenant, owner_of(caller.subject), price
        )
        if may_come or row.facts.taken_at is not None
    ]
    arrivals = [_arrival(row) for row in included]
    return Delivery(
        price=Announced.model_validate(price), summary=_summary(price, arrivals), scales=arrivals
    )


def _arrival(row: DeliveryRow) -> Arrival:
    delivery = price_state(row.facts)
    verified_at = row.facts.verified_at
    waiting = delivery.state is State.WAITING
    return Arrival(
        id=row.number,
        name=row.name,
        plu=row.plu,
        state=delivery.state,
        code=delivery.code,
        detail=delivery.detail,
        shown=_number(row.displayed_price),
        changed=row.changed,
        revision=row.revision,
        taken_at=None if waiting else row.facts.taken_at,
        sending_at=row.sending_at,
        applied_at=row.applied_at,
        verified_at=verified_at,
        failed_at=delivery.failed_at,
        overridden_at=row.facts.overridden_at,
        overridden_by=row.overridden_by,
    )


def _summary(price: Price, arrivals: Sequence[Arrival]) -> Summary:
    """The counts of scales; one that sells several products of the article needs all of them."""
    states: dict[int, set[State]] = {}
    for one in arrivals:
        states.setdefault(one.id, set()).add(one.state)
    outstanding = sum(1 for all_of in states.values() if not all_of <= SETTLED)
    verified = [
        one.verified_at
        for one in arrivals
        if one.state is State.VERIFIED and one.verified_at is not None
    ]
    since = max(price.valid_at, price.announced_at)
    return Summary(
        scales=len(states),
        verified=sum(1 for all_of in states.values() if all_of == {State.VERIFIED}),
        behind=outstanding,
        seconds=(max(verified) - since).total_seconds() if verified and not outstanding else None,
    )


def _number(text: str | None) -> float | None:
    value = None if text is None else msgspec.json.decode(text)
    return float(value) if isinstance(value, int | float) else None
