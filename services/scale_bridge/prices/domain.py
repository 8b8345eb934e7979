"""Whose scales follow a shop's prices, and the state of a price's delivery to a scale (SCL-16)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.scale_bridge.catalogue.domain.product import BadFields
from services.scale_bridge.transfer.domain.failure_texts import NOT_SHOWN, sentence
from services.scale_bridge.transfer.domain.kinds import SUCCEEDED

SOURCE: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,62})=([a-z0-9][a-z0-9-]{0,62})")


class OtherCurrency(BadFields):
    """A price is not in the currency of the scales."""

    def __init__(self) -> None:
        super().__init__({"price": str(self)})

    def __str__(self) -> str:
        return "the price is in another currency than SCALE_BRIDGE_CURRENCY"


def parse_sources(pairs: Iterable[str]) -> Mapping[str, str]:
    """The tenant of the shop by that of the scales. Raises ValueError if one is named twice."""
    sources: dict[str, str] = {}
    for pair in pairs:
        match = SOURCE.fullmatch(pair)
        if match is None or match[1] in sources:
            raise ValueError("must look like demo=shop-7, each tenant of scales once")
        sources[match[1]] = match[2]
    return sources


def followers(sources: Mapping[str, str], shop: str) -> Sequence[str]:
    """The tenants whose scales follow the prices of a shop: its own, unless it has a source."""
    own = () if shop in sources else (shop,)
    return [*own, *(tenant for tenant, source in sources.items() if source == shop)]


class State(StrEnum):
    """The states of a delivery, roughly in their order."""

    WAITING = "waiting"
    TAKEN = "taken"
    SENDING = "sending"
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    OVERRIDDEN = "overridden"
    GONE = "gone"


SETTLED = frozenset({State.VERIFIED, State.OVERRIDDEN, State.GONE})
"""The states in which nothing is outstanding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """The last operation that sent the price to the scale, or read it back."""

    stage: str
    outcome: str | None
    code: str | None
    detail: str | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryFacts:
    """The facts that decide the state. `sold`: the scale's catalogue has the article.

    `moved`: the address of the scale changed after the price was taken. `verified_at` is the first
    read that showed the price; `seen_otherwise`: the last read shows another one.
    """

    sold: bool
    moved: bool = False
    taken_at: datetime | None = None
    overridden_at: datetime | None = None
    verified_at: datetime | None = None
    seen_otherwise: bool = False
    transfer: Transfer | None = None


@dataclass(frozen=True, slots=True)
class PriceState:
    """The state, and the code and reason of a failure."""

    state: State
    code: str | None = None
    detail: str | None = None
    failed_at: datetime | None = None


def price_state(facts: DeliveryFacts) -> PriceState:
    """The state of a delivery: `verified` after a read-back, `applied` after a confirmation."""
    if facts.taken_at is None or facts.moved:
        return PriceState(State.WAITING)
    if facts.overridden_at is not None:
        return PriceState(State.OVERRIDDEN)
    if not facts.sold:
        return PriceState(State.GONE)
    if facts.verified_at is not None and not facts.seen_otherwise:
        return PriceState(State.VERIFIED)
    return _in_transfer(facts)


def _in_transfer(facts: DeliveryFacts) -> PriceState:
    transfer = facts.transfer
    if transfer is not None and transfer.ended_at is None:
        return PriceState(State.APPLIED if transfer.stage == "applied" else State.SENDING)
    if transfer is not None and transfer.outcome not in SUCCEEDED:
        return PriceState(State.FAILED, transfer.code, transfer.detail, transfer.ended_at)
    if facts.verified_at is not None:
        # The scale showed the price before: it was changed there, or by a loss of power.
        return PriceState(State.FAILED, NOT_SHOWN, sentence(NOT_SHOWN))
    return PriceState(State.TAKEN if transfer is None else State.APPLIED)
