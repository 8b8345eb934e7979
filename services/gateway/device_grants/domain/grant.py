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
"""Two questions may come closer together than they were sent."""

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no words come out, and nothing that looks like a digit (RFC 8628 §6.1)."""
LENGTH: Final = 8
"""Twenty to the eighth: 34 bits, for ten minutes and a few tries."""
MAX_LABEL: Final = 80


class Answer(StrEnum):
    """What became of a grant so far."""

    WAITING = "waiting"
    ANSWERING = "answering"
    """Somebody just says yes or no; nobody else can."""
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"


class Verdict(StrEnum):
    """What a device that asks is told: the codes of RFC 8628 §3.5, or that it is in."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"
    WORTHLESS = "invalid_grant"
    IN = "in"


class GrantRefused(Refused):
    """The device is not let in, or not yet."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict


class AnsweredAlready(Refused):
    """Nobody waits for an answer to this code any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What a device asked for. `device` and `shown` are the digests of its two codes.

    `account_id` is the account it will have; `pause` are the seconds it must leave between two
    questions; `tenant` is whose device it is, once somebody said so.
    """

    device: str
    shown: str
    client_id: str
    account_id: AccountId
    sealed: str
    answer: Answer
    tenant: str | None
    pause: int
    polled_at: datetime | None
    expires_at: datetime


def judge(grant: Grant | None, client_id: str, now: datetime) -> Verdict:
    """What the device hears that asks now; another client's code is as worthless as none."""
    if grant is None or grant.client_id != client_id or grant.answer is Answer.USED:
        return Verdict.WORTHLESS
    if grant.answer is Answer.DENIED:
        return Verdict.DENIED
    if grant.expires_at <= now:
        return Verdict.EXPIRED
    if grant.answer is Answer.APPROVED:
        return Verdict.IN
    return Verdict.SLOW_DOWN if _too_soon(grant, now) else Verdict.PENDING


def _too_soon(grant: Grant, now: datetime) -> bool:
    pause = timedelta(seconds=grant.pause)
    return grant.polled_at is not None and now - grant.polled_at < pause - LEEWAY


def new_user_code(choose: Callable[[str], str]) -> str:
    """What the device shows, as it is compared; `choose` picks one letter at random."""
    return "".join(choose(ALPHABET) for _ in range(LENGTH))


def display_code(code: str) -> str:
    """The code as people read it."""
    return f"{code[: LENGTH // 2]}-{code[LENGTH // 2 :]}"


def read_code(text: str) -> str | None:
    """The code in what somebody typed, in whatever case and with whatever between; else None."""
    code = "".join(letter for letter in text[:40].upper() if letter in ALPHABET)
    strange = any(letter.isalnum() and letter not in ALPHABET for letter in text[:40].upper())
    return code if len(code) == LENGTH and not strange else None


def tidy_label(text: str) -> str:
    """A device's name for itself, without what would confuse whoever reads it."""
    plain = "".join(letter for letter in text if letter.isprintable())
    return " ".join(plain.split())[:MAX_LABEL]
