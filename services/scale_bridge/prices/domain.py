"""The state of the delivery of a shop's price to one scale (SCL-16)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.scale_bridge.transfer.domain.failure_texts import NOT_SHOWN, sentence
from services.scale_bridge.transfer.domain.kinds import SUCCEEDED


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
