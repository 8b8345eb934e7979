"""A circuit breaker per endpoint (R6): operations on a scale that does not answer fail at once.

A change of the address resets the breaker.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from services.scale_bridge.driver.domain.fault import (
    Overloaded,
    ScaleFault,
    TransportFault,
    UnknownOutcome,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerRules:
    """So many consecutive transport failures open it; one trial is allowed per cool-down."""

    failures: int = 3
    cool_down: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """The state: closed without `open_until`, else open until then, and half open afterwards."""

    failures: int = 0
    open_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """The operation may begin; a `trial` is the only one until the end of the next cool-down."""

    trial: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """The operation must fail now; the next trial is allowed in `seconds`."""

    seconds: float


Verdict: TypeAlias = Pass | Wait


def allowed(breaker: Breaker, now: datetime, rules: BreakerRules) -> tuple[Breaker, Verdict]:
    """Whether an operation may begin, and the state of the breaker afterwards.

    A trial that never reports its result blocks nothing: the next one is allowed after a cool-down.
    """
    if breaker.open_until is None:
        return breaker, Pass()
    if now < breaker.open_until:
        return breaker, Wait((breaker.open_until - now).total_seconds())
    return Breaker(failures=breaker.failures, open_until=now + rules.cool_down), Pass(trial=True)


def recorded(
    breaker: Breaker, fault: ScaleFault | None, now: datetime, rules: BreakerRules
) -> Breaker:
    """The state after an operation. Any reply of the scale closes the breaker."""
    if isinstance(fault, Overloaded):
        return breaker
    if not is_silent(fault):
        return Breaker()
    failures = breaker.failures + 1
    opens = failures >= rules.failures
    return Breaker(failures=failures, open_until=now + rules.cool_down if opens else None)


def is_silent(fault: BaseException | None) -> bool:
    """Whether an exchange failed because the scale stopped replying."""
    if isinstance(fault, UnknownOutcome):
        return isinstance(fault.__cause__, TransportFault)
    return isinstance(fault, TransportFault)
