"""A circuit breaker per endpoint (R6): a dead scale is asked seldom, and its users told at once.

After a change of address a scale gets a new `Breaker()`.
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
class Rules:
    """How many transport failures in a row open it, and how long it stays open for all but one."""

    failures: int = 3
    cool_down: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """How it stands: closed without `shut_until`, else open, and half open from then on."""

    failures: int = 0
    shut_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """Go ahead. As a `probe`, the only one until the cool-down is over again."""

    probe: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Fail now; ask again after so many seconds."""

    seconds: float


Verdict: TypeAlias = Pass | Wait


def allowed(breaker: Breaker, now: datetime, rules: Rules) -> tuple[Breaker, Verdict]:
    """Whether an operation may begin, and how the breaker stands when it does.

    A probe need not report back: the next one is let through anyway.
    """
    if breaker.shut_until is None:
        return breaker, Pass()
    if now < breaker.shut_until:
        return breaker, Wait((breaker.shut_until - now).total_seconds())
    return Breaker(failures=breaker.failures, shut_until=now + rules.cool_down), Pass(probe=True)


def recorded(breaker: Breaker, fault: ScaleFault | None, now: datetime, rules: Rules) -> Breaker:
    """How it stands after an operation. Whatever a scale answers shows that it is there."""
    if isinstance(fault, Overloaded):
        return breaker
    if not is_silent(fault):
        return Breaker()
    failures = breaker.failures + 1
    opens = failures >= rules.failures
    return Breaker(failures=failures, shut_until=now + rules.cool_down if opens else None)


def is_silent(fault: BaseException | None) -> bool:
    """Whether an exchange ended without the scale having answered to its end."""
    if isinstance(fault, UnknownOutcome):
        return isinstance(fault.__cause__, TransportFault)
    return isinstance(fault, TransportFault)
