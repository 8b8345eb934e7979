"""How far a price of the shop is on its way to one scale, in one word (SCL-16)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.scale_bridge.monitoring.domain import WENT_WELL
from services.scale_bridge.transfer.domain.failure_texts import NOT_SHOWN, sentence


class State(StrEnum):
    """On its way, or where that ended."""

    WAITING = "waiting"
    TAKEN = "taken"
    SENDING = "sending"
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    OVERRIDDEN = "overridden"
    GONE = "gone"


SETTLED = frozenset({State.VERIFIED, State.OVERRIDDEN, State.GONE})
"""Nothing is outstanding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Doing:
    """The last that was done to bring it to the scale, or to see whether it is there."""

    stage: str
    outcome: str | None
    code: str | None
    detail: str | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of it. `sold` if the scale's catalogue has the article.

    `verified_at` is when the scale was first read to show it, `seen_otherwise` if it was last read
    to show something else.
    """

    sold: bool
    moved: bool = False
    taken_at: datetime | None = None
    overridden_at: datetime | None = None
    verified_at: datetime | None = None
    seen_otherwise: bool = False
    doing: Doing | None = None


@dataclass(frozen=True, slots=True)
class PriceState:
    """The word, and by which code and why it failed."""

    state: State
    code: str | None = None
    detail: str | None = None
    failed_at: datetime | None = None


def price_state(facts: Facts) -> PriceState:
    """Only what was read back is verified; that a scale confirmed it is `applied`."""
    if facts.taken_at is None or facts.moved:
        return PriceState(State.WAITING)
    if facts.overridden_at is not None:
        return PriceState(State.OVERRIDDEN)
    if not facts.sold:
        return PriceState(State.GONE)
    if facts.verified_at is not None and not facts.seen_otherwise:
        return PriceState(State.VERIFIED)
    return _on_its_way(facts)


def _on_its_way(facts: Facts) -> PriceState:
    doing = facts.doing
    if doing is not None and doing.ended_at is None:
        return PriceState(State.APPLIED if doing.stage == "applied" else State.SENDING)
    if doing is not None and doing.outcome not in WENT_WELL:
        return PriceState(State.FAILED, doing.code, doing.detail, doing.ended_at)
    if facts.verified_at is not None:
        # It was there, and is not any more: changed at the scale, or by a loss of power.
        return PriceState(State.FAILED, NOT_SHOWN, sentence(NOT_SHOWN))
    return PriceState(State.TAKEN if doing is None else State.APPLIED)
