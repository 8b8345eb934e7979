"""One-time codes: six digits, valid once for five minutes, that prove control of a phone.

The rules are those of spec shop §2.2 as tightened by its S10. A code ends after `TRIES` wrong
attempts from all networks together; a new code has new attempts, so that a phone is never locked.
Wrong attempts are also counted by phone and day: those from networks it logged in from before
apart from the others, so that strangers do not use up the attempts of the owner's networks. With
`CONFIRMATIONS` that is below a hundred in any 24 hours, even across two windows: a chance of less
than 10⁻⁴ a day to guess a code.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from libs.errors import RateLimit, TooMany


def _limit(quota: int, **window: int) -> RateLimit:
    seconds = int(timedelta(**window).total_seconds())
    return RateLimit(name="one-time-code", quota=quota, window_seconds=seconds)


LIFETIME: Final = timedelta(seconds=300)


TRIES: Final = 3
"""Wrong attempts after which a code is invalid."""
TRIES_FROM_NETWORK: Final = _limit(6, minutes=15)
"""Attempts on one phone from one network."""
TRIES_OF_NETWORK: Final = _limit(30, minutes=15)
"""Attempts from one network on all phones that never logged in from it. Many people of a shop share
an address."""
DAILY_OF_STRANGERS: Final = _limit(24, days=1)
DAILY_OF_KNOWN: Final = _limit(15, days=1)
CONFIRMATIONS: Final = _limit(3, days=1)
"""Confirmations by the owner; each grants one network `TRIES` further attempts."""
CONFIRMED_FOR: Final = timedelta(minutes=15)
REQUESTS: Final = _limit(10, seconds=60)
"""Codes requested for one phone from one network."""
REQUESTS_OF_NETWORK: Final = _limit(30, seconds=60)
"""Codes requested from one network for all phones that never logged in from it."""
CONFIRMATION_REQUESTS: Final = _limit(10, hours=1)
"""Requests to confirm, for one phone: each is a message to its owner."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The code was right, and is used up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """The code was wrong; `remaining` attempts are left."""

    remaining: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The code has expired, or none was requested."""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Too many wrong attempts today: the owner must confirm the request first."""


Outcome: TypeAlias = Verified | Wrong | Expired | TooMany


FIXED_PHONE: Final = "+77011234567"
FIXED_CODE: Final = "123456"
"""The phone and code of the shop's own test suites."""


class DeliveryMethod(StrEnum):
    """How a code is delivered."""

    TELEGRAM = "telegram"
    DISPLAYED = "debug"
    """In the answer itself, in the profile `demo` only."""
    FIXED = "test"
    """A fixed code in the answer itself, of one phone in the profile `test` only."""
    REGISTER = "need_registration"
    """Not delivered: the phone must be shared with the bot first."""
    NONE = "none"
    """Not delivered: no bot is configured."""


def judge(*, wrong: int | None, right: bool) -> Outcome:
    """The outcome of an attempt; `wrong` counts earlier wrong ones, None without a code."""
    if wrong is None:
        return Expired()
    if wrong >= TRIES:
        # Another code can be requested at once.
        return TooMany(retry_after=1)
    return Verified() if right else Wrong(remaining=TRIES - wrong - 1)


def delivery_method_for(
    *, has_bot: bool, has_chat: bool, is_known: bool, is_demo: bool
) -> DeliveryMethod:
    """The delivery method (spec shop §2.2, delivery order). SMS is not supported."""
    if not has_bot:
        return DeliveryMethod.DISPLAYED if is_demo else DeliveryMethod.NONE
    if has_chat:
        return DeliveryMethod.TELEGRAM
    return DeliveryMethod.DISPLAYED if is_demo and is_known else DeliveryMethod.REGISTER
