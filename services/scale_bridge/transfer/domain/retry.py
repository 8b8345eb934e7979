"""The decision after a failed attempt (R3). Only whole operations are repeated."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from services.scale_bridge.driver.domain.fault import (
    BadCatalogue,
    Flaw,
    ScaleBusy,
    ScaleFault,
    ScaleRefused,
    TransportFault,
    UnknownOutcome,
)
from services.scale_bridge.driver.domain.result_code import Advice, meaning

MOST_ATTEMPTS: Final = 3
FIRST_WAIT_SECONDS: Final = 0.5
WORTHWHILE_SECONDS: Final = 1.0
"""If less time than this is left after the wait, there is no other attempt."""
_DAMAGED_IN_TRANSIT: Final = frozenset({Flaw.CHUNK, Flaw.HASH})


@dataclass(frozen=True, slots=True)
class Again:
    """Repeat the operation after `after_seconds`."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Read the scale: it may have imported the upload (R4)."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the operation as failed."""


Next: TypeAlias = Again | ReadBack | GiveUp


def decide_retry(fault: ScaleFault, *, attempts: int, left_seconds: float, chance: float) -> Next:
    """What follows attempt number `attempts`, which failed with `fault`.

    `chance` is a random number from 0 to 1 that spreads the next attempts of several operations.
    """
    if isinstance(fault, UnknownOutcome):
        return ReadBack()
    if attempts >= MOST_ATTEMPTS or not is_transient(fault):
        return GiveUp()
    wait = FIRST_WAIT_SECONDS * 2 ** (attempts - 1) * (0.5 + chance)
    return Again(wait) if wait + WORTHWHILE_SECONDS <= left_seconds else GiveUp()


def is_transient(fault: ScaleFault) -> bool:
    """Whether the same operation may succeed a little later.

    A wrong password or a failed import is permanent.
    """
    match fault:
        case TransportFault() | ScaleBusy():
            return True
        case BadCatalogue(flaw=flaw):
            return flaw in _DAMAGED_IN_TRANSIT
        case ScaleRefused(result=int(result)):
            return meaning(result).advice is Advice.RETRY
        case _:
            return False
