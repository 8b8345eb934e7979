"""How it is told where a price of the shop has arrived (SCL-16)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from pydantic import BaseModel

from libs.http.auth import Principal
from services.scale_bridge.catalogue.domain.shop_price import ShopPrice
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.prices import stores as prices
from services.scale_bridge.prices.domain import SETTLED, State, price_state
from services.scale_bridge.prices.read_models import delivery
from services.scale_bridge.prices.read_models.delivery import Price, Row


class Announced(BaseModel):
    """A price as the shop announced it, in the currency's major units."""

    price_id: UUID
    article: int
    price: float
    valid_at: datetime
    announced_at: datetime


class Arrival(BaseModel):
    """How far it is on its way to one scale, and when it came so far.

    `state`: waiting, taken, sending, applied, verified, failed, overridden, or gone if the scale
    sells the article no more. `shown` is what the scale was last read to show. `overridden_by` is
    an account, or `price` for a later one.
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
    """`behind` are the scales on which something is outstanding.

    `seconds` passed from when it was known and valid until the last scale was seen to show it.
    """

    scales: int
    verified: int
    behind: int
    seconds: float | None


class Delivery(BaseModel):
    """A price, and where it is; `coming` are those of the article that are not valid yet."""

    price: Announced
    summary: Summary
    scales: list[Arrival]
    coming: list[Announced] = []


async def delivery_of(connection: Any, caller: Principal, price: Price, now: datetime) -> Delivery:
    """Where a price is. Scales that it has not come to count only while no later one is valid."""
    last = await prices.current(connection, caller.tenant, [price.article], now)
    found = last.get(price.article)
    may_come = price.valid_at > now or found is None or found.price_id == price.price_id
    told_of = [
        row
        for row in await delivery.rows(connection, caller.tenant, owner_of(caller.subject), price)
        if may_come or row.facts.taken_at is not None
    ]
    arrivals = [_arrival(row) for row in told_of]
    return Delivery(price=announced(price), summary=_summary(price, arrivals), scales=arrivals)


def _arrival(row: Row) -> Arrival:
    word = price_state(row.facts)
    verified_at = row.facts.verified_at
    moved = word.state is State.WAITING
    return Arrival(
        id=row.number,
        name=row.name,
        plu=row.plu,
        state=word.state,
        code=word.code,
        detail=word.detail,
        shown=_number(row.shown_price),
        changed=row.changed,
        revision=row.revision,
        taken_at=None if moved else row.facts.taken_at,
        sending_at=row.sending_at,
        applied_at=row.applied_at,
        verified_at=verified_at,
        failed_at=word.failed_at,
        overridden_at=row.facts.overridden_at,
        overridden_by=row.overridden_by,
    )


def _summary(price: Price, arrivals: Sequence[Arrival]) -> Summary:
    """A scale that sells the article as several products is there when all of them are."""
    states: dict[int, set[State]] = {}
    for one in arrivals:
        states.setdefault(one.id, set()).add(one.state)
    behind = sum(1 for all_of in states.values() if not all_of <= SETTLED)
    shown = [
        one.verified_at
        for one in arrivals
        if one.state is State.VERIFIED and one.verified_at is not None
    ]
    since = max(price.valid_at, price.announced_at)
    return Summary(
        scales=len(states),
        verified=sum(1 for all_of in states.values() if all_of == {State.VERIFIED}),
        behind=behind,
        seconds=(max(shown) - since).total_seconds() if shown and not behind else None,
    )


def _number(text: str | None) -> float | None:
    value = None if text is None else msgspec.json.decode(text)
    return float(value) if isinstance(value, int | float) else None


def plain(said: ShopPrice) -> Price:
    """What counts of it where it is told how far it is."""
    names = ("price_id", "article", "price", "valid_at", "announced_at")
    return Price(**{name: getattr(said, name) for name in names})


def announced(price: Price | ShopPrice) -> Announced:
    """A price as it is answered."""
    names = ("price_id", "article", "price", "valid_at", "announced_at")
    return Announced(**{name: getattr(price, name) for name in names})
