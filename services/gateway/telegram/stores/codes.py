"""One-time codes in use, and the attempts on them.

A store and no events: a code is a secret that lives for minutes, and the log keeps events for ever.
Phones and network addresses are stored as keyed digests, codes as keyed hashes. Counting and
checking is one statement in the database, so that concurrent guesses cannot exceed the limit.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from libs.errors import TooMany
from libs.postgres import attempts, query
from libs.postgres.attempts import Counter
from libs.postgres.pool import Connection, Pool, acquire
from libs.postgres.retention import prune
from libs.security import codes
from libs.security.sealing import Seal
from services.gateway.doors.domain.network import network_of
from services.gateway.sessions.stores import known_networks
from services.gateway.telegram.domain.one_time_code import (
    CONFIRMATION_REQUESTS,
    CONFIRMATIONS,
    CONFIRMED_FOR,
    DAILY_OF_KNOWN,
    DAILY_OF_STRANGERS,
    LIFETIME,
    REQUESTS,
    REQUESTS_OF_NETWORK,
    TRIES,
    TRIES_FROM_NETWORK,
    TRIES_OF_NETWORK,
    Outcome,
    Unconfirmed,
    Verified,
    Wrong,
    judge,
)

CONFIRMED: Final = "confirmed"
NONCE_BYTES: Final = 4
FIND: Final = """
    SELECT * FROM one_time_code WHERE subject = $1 AND expires_at > $3
    ORDER BY network = $2 DESC, tries < $4 DESC, expires_at DESC LIMIT 1 FOR UPDATE"""
REPLACE: Final = """
    INSERT INTO one_time_code (subject, network, hash, displayed, expires_at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (subject, network) DO UPDATE
    SET hash = $3, tries = 0, displayed = $4, expires_at = $5"""
COUNT_WRONG: Final = """
    UPDATE one_time_code SET tries = tries + 1 WHERE subject = $1 AND network = $2"""
DELETE: Final = "DELETE FROM one_time_code WHERE subject = $1"
LOCK_PHONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('one-time code ' || $1, 0))"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Requester:
    """Digests of a phone, its network and both; `known` if it logged in from there before."""

    phone: str
    network: str
    pair: str
    known: bool

    @property
    def attempt_counters(self) -> list[Counter]:
        """The counters of an attempt, always in this order."""
        of_network: Counter = ("try by network", self.network, TRIES_OF_NETWORK)
        own: Counter = ("try", self.pair, TRIES_FROM_NETWORK)
        return [own] if self.known else [of_network, own]

    @property
    def request_counters(self) -> list[Counter]:
        """The counters of a request, always in this order."""
        of_network: Counter = ("request by network", self.network, REQUESTS_OF_NETWORK)
        own: Counter = ("request", self.pair, REQUESTS)
        return [own] if self.known else [of_network, own]

    @property
    def daily_counter(self) -> Counter:
        """The counter of wrong attempts in a day."""
        if self.known:
            return "guess", self.phone, DAILY_OF_KNOWN
        return "guess of strangers", self.phone, DAILY_OF_STRANGERS


class CodeStore:
    """The store. `key` (32 bytes) hashes the codes, `seal` the phones and addresses.

    A phone has one code per network that requested it: a request from another network does not
    replace it. All methods raise `Unavailable` without the database; then nothing was counted.
    """

    def __init__(self, pool: Pool, *, seal: Seal, key: bytes) -> None:
        self._pool = pool
        self._seal = seal
        self._key = key

    async def issue(
        self, phone: str, code: str | None, *, address: str, now: datetime, displayed: bool = False
    ) -> TooMany | Unconfirmed | None:
        """Count a request, and store `code` for the phone and network in place of the last.

        None stores a hash that no code has, so that a phone without an owner is treated alike.
        Attempts on a `displayed` code do not count as guesses.
        """
        secret = code if code is not None else secrets.token_hex(16)
        async with acquire(self._pool) as connection, connection.transaction():
            requester = await self._requester(connection, phone, address, now)
            if over := await attempts.take(connection, requester.request_counters, now):
                return over
            if not displayed and await _must_confirm(connection, requester, now):
                return Unconfirmed()
            hashed = codes.hash_code(self._key, requester.phone, secret)
            values = (requester.phone, requester.network, hashed, displayed, now + LIFETIME)
            await query.execute(connection, REPLACE, *values)
            await prune(connection, "one_time_code", "expires_at", now)
            await prune(connection, "one_time_count", "until", now)
        return None

    async def attempt(self, phone: str, code: str, *, address: str, now: datetime) -> Outcome:
        """Try a code: against that of the network, or else the last one that is not used up.

        A right code is used up, takes back its counted attempts, and makes the network known.
        """
        async with acquire(self._pool) as connection, connection.transaction():
            requester = await self._requester(connection, phone, address, now)
            # Attempts on a phone are serialised: they lock its codes and counters in any order.
            await connection.execute(LOCK_PHONE, requester.phone)
            if over := await attempts.take(connection, requester.attempt_counters, now):
                return over
            of_phone = (requester.phone, requester.network, now, TRIES)
            row = await connection.fetchrow(FIND, *of_phone)
            # Compared even without a code, so that both take equally long.
            right = codes.matches(self._key, requester.phone, code, row["hash"] if row else "")
            outcome = judge(wrong=row["tries"] if row else None, right=right)
            if row is None or isinstance(outcome, TooMany):
                return outcome
            if not row["displayed"] and (over := await _spend(connection, requester, now)):
                return over
            match outcome:
                case Verified():
                    await _use_up(connection, requester, now)
                case Wrong():
                    of_code = (requester.phone, row["network"])
                    await query.execute(connection, COUNT_WRONG, *of_code)
                case _:
                    pass
        return outcome

    async def ask_confirmation(
        self, phone: str, *, address: str, telegram_id: int, now: datetime
    ) -> str | TooMany:
        """The nonce by which the owner of the Telegram account confirms the network."""
        nonce = secrets.token_hex(NONCE_BYTES)
        async with acquire(self._pool) as connection, connection.transaction():
            requester = await self._requester(connection, phone, address, now)
            counter: Counter = ("confirmation asked", requester.phone, CONFIRMATION_REQUESTS)
            if over := await attempts.take(connection, [counter], now):
                return over
            kind = self._kind_of(nonce, telegram_id)
            await attempts.grant(connection, kind, requester.pair, now + CONFIRMED_FOR)
        return nonce

    async def confirm(self, nonce: str, *, telegram_id: int, now: datetime) -> bool:
        """Grant the network of `nonce` `TRIES` attempts. False if used or over the limit."""
        owner = self._seal.digest("telegram", str(telegram_id))
        async with acquire(self._pool) as connection, connection.transaction():
            kind = self._kind_of(nonce, telegram_id)
            if (pair := await attempts.redeem(connection, kind, now)) is None:
                return False
            if await attempts.take(connection, [("confirmation", owner, CONFIRMATIONS)], now):
                return False
            await attempts.grant(connection, CONFIRMED, pair, now + CONFIRMED_FOR)
        return True

    def _kind_of(self, nonce: str, telegram_id: int) -> str:
        return f"confirms {self._seal.digest('confirmation', f'{telegram_id} {nonce}')}"

    async def _requester(
        self, connection: Connection, phone: str, address: str, now: datetime
    ) -> _Requester:
        network, digest = network_of(address), self._seal.digest
        pair = digest("phone in network", f"{phone} {network}")
        known = await known_networks.known_on(connection, [pair], now)
        return _Requester(
            phone=digest("phone", phone),
            network=digest("network address", network),
            pair=pair,
            known=pair in known,
        )


async def _must_confirm(connection: Connection, requester: _Requester, now: datetime) -> bool:
    if await attempts.used_up(connection, requester.daily_counter, now) is None:
        return False
    return not await attempts.has_granted(connection, CONFIRMED, requester.pair, TRIES, now)


async def _spend(connection: Connection, requester: _Requester, now: datetime) -> TooMany | None:
    """Count a guess for the day; after the limit, take one that the owner granted."""
    over = await attempts.take(connection, [requester.daily_counter], now)
    if over and await attempts.take_granted(connection, CONFIRMED, requester.pair, TRIES, now):
        return None
    return over


async def _use_up(connection: Connection, requester: _Requester, now: datetime) -> None:
    """Delete all codes of the phone, and take back the counted attempt."""
    await query.execute(connection, DELETE, requester.phone)
    counters = (*requester.attempt_counters, requester.daily_counter)
    await attempts.give_back(connection, counters)
    await known_networks.remember_on(connection, [requester.pair], now)
