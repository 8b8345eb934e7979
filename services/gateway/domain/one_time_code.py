"""One-time codes: six digits that prove, for some minutes and once, who reads a phone's messages.

The rules are those of spec shop §2.2 as tightened by its S10: tries are counted per subject and per
address, asking for another code does not give tries back, and a code works once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Final, TypeAlias

LIFETIME: Final = timedelta(seconds=300)
DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Allowance:
    """`most` in `window`, which begins with the first."""

    most: int
    window: timedelta


# Longer than a code lives. All the tries of a day are then one chance in two thousand.
TRIES: Final = Allowance(5, timedelta(minutes=15))
TRIES_OF_ADDRESS: Final = Allowance(5, timedelta(minutes=15))
REQUESTS: Final = Allowance(10, timedelta(seconds=60))
# A shop is one address with many people behind it.
REQUESTS_OF_ADDRESS: Final = Allowance(30, timedelta(seconds=60))


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


@dataclass(frozen=True, kw_only=True, slots=True)
class TooMany:
    """Too many tries or requests; in so many seconds (at least 1) there is room again."""

    retry_after: int


Outcome: TypeAlias = Verified | Wrong | Expired | TooMany


class Way(StrEnum):
    """How a code reaches the one who asked for it."""

    TELEGRAM = "telegram"
    SHOWN = "debug"
    """In the answer itself, of the demo profile only."""
    REGISTER = "need_registration"
    """Not at all, until the phone was shared with the bot."""
    NONE = "none"
    """Not at all: nobody set up a bot."""


def is_code(text: str) -> bool:
    """Whether it could be a code."""
    return len(text) == DIGITS and text.isascii() and text.isdecimal()


def judge(*, expires_at: datetime | None, right: bool, tries: int, now: datetime) -> Outcome:
    """What a try comes to. `tries` counts this one too; without a code `expires_at` is None."""
    if expires_at is None or expires_at <= now:
        return Expired()
    return Verified() if right else Wrong(remaining=max(0, TRIES.most - tries))


def too_many(until: datetime, now: datetime) -> TooMany:
    """The refusal that holds until `until`."""
    return TooMany(retry_after=max(1, ceil((until - now).total_seconds())))


def way_for(*, has_bot: bool, has_chat: bool, is_known: bool, is_demo: bool) -> Way:
    """How to deliver (spec shop §2.2, delivery order). SMS is not offered: nothing would come."""
    if not has_bot:
        return Way.SHOWN if is_demo else Way.NONE
    if has_chat:
        return Way.TELEGRAM
    return Way.SHOWN if is_demo and is_known else Way.REGISTER


def neighbourhood(address: str) -> str:
    """Whose tries are counted together: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, 64), strict=False))
