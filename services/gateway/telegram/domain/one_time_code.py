"""One-time codes: six digits that prove, for some minutes and once, who reads a phone's messages.

The rules are those of spec shop §2.2 as tightened by its S10. A code dies after `TRIES` wrong ones,
from wherever they come, and asking for another gives that one new tries: a phone is never locked.
So that asking and guessing all day opens no account, wrong tries are also counted for the phone
for a day, those from networks it never logged in from apart from the others: strangers use up no
tries of the places where its owner is known. The two and what `CONFIRMATIONS` add stay below a
hundred in any 24 hours, which may touch two windows: a chance of less than 10⁻⁴ a day.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from services.gateway.sessions.domain.allowance import Allowance, TooMany

LIFETIME: Final = timedelta(seconds=300)
DIGITS: Final = 6


TRIES: Final = 3
"""Wrong ones; after them a code opens nothing."""
TRIES_FROM_NETWORK: Final = Allowance(6, timedelta(minutes=15))
"""Of one phone from one network."""
TRIES_OF_NETWORK: Final = Allowance(30, timedelta(minutes=15))
"""Of all phones that never logged in from there: a shop is one address with many people behind it.
"""
DAILY_OF_STRANGERS: Final = Allowance(24, timedelta(days=1))
DAILY_OF_KNOWN: Final = Allowance(15, timedelta(days=1))
CONFIRMATIONS: Final = Allowance(3, timedelta(days=1))
"""Each gives one network `TRIES` more."""
CONFIRMED_FOR: Final = timedelta(minutes=15)
REQUESTS: Final = Allowance(10, timedelta(seconds=60))
"""Of one phone from one network."""
REQUESTS_OF_NETWORK: Final = Allowance(30, timedelta(seconds=60))
"""Of all phones that never logged in from there."""
CONFIRMATION_REQUESTS: Final = Allowance(10, timedelta(hours=1))
"""Of one phone: each is a message to its owner."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The code was right, and is used up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """The code was wrong; so many tries are left."""

    remaining: int


@dataclass(frozen=True, slots=True)
class Expired:
    """There is no code any more, or there never was one."""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Too much was guessed today: first the owner has to confirm that it is them who ask."""


Outcome: TypeAlias = Verified | Wrong | Expired | TooMany


FIXED_PHONE: Final = "+77011234567"
FIXED_CODE: Final = "123456"
"""What the shop's own suites log in with."""


class Way(StrEnum):
    """How a code reaches the one who asked for it."""

    TELEGRAM = "telegram"
    SHOWN = "debug"
    """In the answer itself, of the demo profile only."""
    FIXED = "test"
    """In the answer itself, and always the same: of one phone in the profile `test` only."""
    REGISTER = "need_registration"
    """Not at all, until the phone was shared with the bot."""
    NONE = "none"
    """Not at all: nobody set up a bot."""


def is_code(text: str) -> bool:
    """Whether it could be a code."""
    return len(text) == DIGITS and text.isascii() and text.isdecimal()


def judge(*, wrong: int | None, right: bool) -> Outcome:
    """What a try comes to; `wrong` are those of the code so far, None if there is no code."""
    if wrong is None:
        return Expired()
    if wrong >= TRIES:
        # Another code can be had at once.
        return TooMany(retry_after=1)
    return Verified() if right else Wrong(remaining=TRIES - wrong - 1)


def way_for(*, has_bot: bool, has_chat: bool, is_known: bool, is_demo: bool) -> Way:
    """How to deliver (spec shop §2.2, delivery order). SMS is not offered: nothing would come."""
    if not has_bot:
        return Way.SHOWN if is_demo else Way.NONE
    if has_chat:
        return Way.TELEGRAM
    return Way.SHOWN if is_demo and is_known else Way.REGISTER
