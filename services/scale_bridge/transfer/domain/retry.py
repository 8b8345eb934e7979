"""What to do after a failed attempt (R3): whole operations, three times at most, in time."""

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
"""With less time than this left after the wait, another attempt is not begun."""
_DAMAGED_ON_THE_WAY: Final = frozenset({Flaw.CHUNK, Flaw.HASH})


@dataclass(frozen=True, slots=True)
class Again:
    """Repeat the whole operation after so many seconds."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Ask the scale what it has: the upload may have been imported (R4)."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It failed."""


Next: TypeAlias = Again | ReadBack | GiveUp


def after(fault: ScaleFault, *, attempts: int, left_seconds: float, chance: float) -> Next:
    """What to do when the last of so many `attempts` ended with `fault`.

    `chance` is a random number from 0 to 1: scales that failed together do not come together.
    """
    if isinstance(fault, UnknownOutcome):
        return ReadBack()
    if attempts >= MOST_ATTEMPTS or not may_pass(fault):
        return GiveUp()
    wait = FIRST_WAIT_SECONDS * 2 ** (attempts - 1) * (0.5 + chance)
    return Again(wait) if wait + WORTHWHILE_SECONDS <= left_seconds else GiveUp()


def may_pass(fault: ScaleFault) -> bool:
    """Whether the same operation may succeed a little later.

    Never after a wrong password or a failed import: the scale would say the same again.
    """
    match fault:
        case TransportFault() | ScaleBusy():
            return True
        case BadCatalogue(flaw=flaw):
            return flaw in _DAMAGED_ON_THE_WAY
        case ScaleRefused(result=int(result)):
            return meaning(result).advice is Advice.RETRY
        case _:
            return False
