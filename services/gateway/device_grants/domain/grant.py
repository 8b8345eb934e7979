"""A device grant (RFC 8628): its codes, its polls, and the verdict on each poll."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from contracts.gateway import AccountId
from libs.errors import Refused

LIFETIME: Final = timedelta(minutes=10)
PAUSE_SECONDS: Final = 5
SLOWER_SECONDS: Final = 5
LEEWAY: Final = timedelta(seconds=1)
"""Tolerance of the interval: two polls may arrive closer together than they were sent."""

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no words result, and no letters that look like digits (RFC 8628 §6.1)."""
LENGTH: Final = 8
"""Letters of a user code: 20⁸, or 34 bits, for ten minutes and few attempts."""
MAX_LABEL: Final = 80


class GrantStatus(StrEnum):
    """The status of a grant."""

    WAITING = "waiting"
    ANSWERING = "answering"
    """An answer is being recorded; a second one is refused."""
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"


class Verdict(StrEnum):
    """The result of a poll: an error code of RFC 8628 §3.5, or IN, which gives tokens."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"
    WORTHLESS = "invalid_grant"
    IN = "in"


class GrantRefused(Refused):
    """The device is not authorised, or not yet."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict


class AlreadyAnswered(Refused):
    """No device waits for an answer to this code any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """A device grant. The digests are of its device code and its user code.

    `account_id` is the account that the device will get, `pause` the least interval between polls
    in seconds, `tenant` the owner of the device once it is approved.
    """

    device_digest: str
    user_code_digest: str
    client_id: str
    account_id: AccountId
    sealed: str
    status: GrantStatus
    tenant: str | None
    pause: int
    polled_at: datetime | None
    expires_at: datetime


def verdict_of(grant: Grant | None, client_id: str, now: datetime) -> Verdict:
    """The verdict on a poll at `now`. Another client's device code counts as unknown."""
    if grant is None or grant.client_id != client_id or grant.status is GrantStatus.USED:
        return Verdict.WORTHLESS
    if grant.status is GrantStatus.DENIED:
        return Verdict.DENIED
    if grant.expires_at <= now:
        return Verdict.EXPIRED
    if grant.status is GrantStatus.APPROVED:
        return Verdict.IN
    return Verdict.SLOW_DOWN if _too_soon(grant, now) else Verdict.PENDING


def _too_soon(grant: Grant, now: datetime) -> bool:
    pause = timedelta(seconds=grant.pause)
    return grant.polled_at is not None and now - grant.polled_at < pause - LEEWAY


def new_user_code(choose: Callable[[str], str]) -> str:
    """A new user code in its normal form; `choose` picks a random letter."""
    return "".join(choose(ALPHABET) for _ in range(LENGTH))


def display_code(code: str) -> str:
    """The user code as the device displays it, for example `BCDF-GHJK`."""
    return f"{code[: LENGTH // 2]}-{code[LENGTH // 2 :]}"


def read_code(text: str) -> str | None:
    """Parse a typed user code, in any case and with any separators; None if it is none."""
    code = "".join(letter for letter in text[:40].upper() if letter in ALPHABET)
    strange = any(letter.isalnum() and letter not in ALPHABET for letter in text[:40].upper())
    return code if len(code) == LENGTH and not strange else None


def tidy_label(text: str) -> str:
    """The name a device reports, without unprintable characters and cut to MAX_LABEL."""
    plain = "".join(letter for letter in text if letter.isprintable())
    return " ".join(plain.split())[:MAX_LABEL]
