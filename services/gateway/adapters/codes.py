"""The one-time codes that may still be used, and how often codes were tried and asked for.

A table of its own and no events: a code is a secret that lives for minutes and is nobody's business
afterwards, while the log keeps what it is told for ever. Phones and network addresses stand here as
keyed digests, codes as keyed hashes. Counting happens in the database, in the statement that also
checks, so parallel guesses cannot get more tries than there are.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import (
    TIMESTAMP,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ClauseElement

from libs.postgres import query
from libs.postgres.pool import Connection, Pool, acquired
from libs.security import codes
from libs.security.sealing import Seal
from services.gateway.domain.one_time_code import (
    LIFETIME,
    REQUESTS,
    REQUESTS_OF_ADDRESS,
    TRIES,
    TRIES_OF_ADDRESS,
    Allowance,
    Outcome,
    TooMany,
    Verified,
    Wrong,
    judge,
    neighbourhood,
    too_many,
)

_TABLES: Final = MetaData()
CODE: Final = Table(
    "one_time_code",
    _TABLES,
    Column("subject", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
)
COUNT: Final = Table(
    "one_time_count",
    _TABLES,
    Column("kind", Text, primary_key=True),
    Column("who", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("until", TIMESTAMP(timezone=True), nullable=False),
)
PRUNED_AT_ONCE: Final = 100

Counter: TypeAlias = tuple[str, str, Allowance]
"""What is counted, whose, and how many there may be."""


class Codes:
    """The store. `key` (32 bytes) hashes the codes, `seal` the phones and addresses.

    Everything raises `Unavailable` while the database is away, and then nothing was counted.
    """

    def __init__(self, pool: Pool, *, seal: Seal, key: bytes) -> None:
        self._pool = pool
        self._seal = seal
        self._key = key

    async def keep(
        self, phone: str, code: str | None, *, address: str, now: datetime
    ) -> TooMany | None:
        """Count a request, and let `code` be the one for this phone from now on.

        None keeps a hash that no code has, so that a phone without an owner looks like any other.
        Refuses while the tries of the phone are used up: another code would not open anything.
        """
        subject, place = self._whose(phone, address)
        secret = code if code is not None else secrets.token_hex(16)
        hashed = codes.hash_code(self._key, subject, secret)
        asked = (
            ("request by address", place, REQUESTS_OF_ADDRESS),
            ("request", subject, REQUESTS),
        )
        async with acquired(self._pool) as connection, connection.transaction():
            if over := await _take_all(connection, asked, now):
                return over
            if over := await _used_up(connection, ("try", subject, TRIES), now):
                return over
            await _replace(connection, subject, hashed, now)
            await _prune(connection, now)
        return None

    async def attempt(self, phone: str, code: str, *, address: str, now: datetime) -> Outcome:
        """Try a code. A right one is used up, and gives the tries of its phone back."""
        subject, place = self._whose(phone, address)
        # Always in this order, so that parallel tries wait for each other and never in a circle.
        tried = (("try by address", place, TRIES_OF_ADDRESS), ("try", subject, TRIES))
        async with acquired(self._pool) as connection, connection.transaction():
            if over := await _take_all(connection, tried, now):
                return over
            outcome = await self._judge(connection, subject, code, now)
            match outcome:
                case Verified():
                    await _forget(connection, subject)
                    await _give_back(connection, subject, place)
                case Wrong(remaining=0):
                    await _forget(connection, subject)
                case _:
                    pass
        return outcome

    async def _judge(
        self, connection: Connection, subject: str, code: str, now: datetime
    ) -> Outcome:
        kept = select(CODE).where(CODE.c.subject == subject).with_for_update()
        row = await query.fetchrow(connection, kept)
        # Compared even if there is nothing to compare with: it takes as long.
        right = codes.matches(self._key, subject, code, row["hash"] if row else "")
        tries = await query.fetchval(connection, _count_of("try", subject))
        return judge(
            expires_at=row["expires_at"] if row else None, right=right, tries=tries, now=now
        )

    def _whose(self, phone: str, address: str) -> tuple[str, str]:
        place = neighbourhood(address)
        return self._seal.digest("phone", phone), self._seal.digest("network address", place)


async def _take_all(
    connection: Connection, counters: Sequence[Counter], now: datetime
) -> TooMany | None:
    """Count one of each, up to the first that is used up."""
    for counter in counters:
        if await query.fetchval(connection, _take(counter, now)) is None:
            return await _used_up(connection, counter, now) or TooMany(retry_after=1)
    return None


def _take(counter: Counter, now: datetime) -> ClauseElement:
    """Count one and return the count; no row if they are used up."""
    kind, who, allowance = counter
    first = insert(COUNT).values(kind=kind, who=who, count=1, until=now + allowance.window)
    over = COUNT.c.until <= now
    return first.on_conflict_do_update(
        index_elements=[COUNT.c.kind, COUNT.c.who],
        set_={
            "count": case((over, literal(1)), else_=COUNT.c.count + 1),
            "until": case((over, first.excluded.until), else_=COUNT.c.until),
        },
        where=or_(over, COUNT.c.count < allowance.most),
    ).returning(COUNT.c.count)


async def _used_up(connection: Connection, counter: Counter, now: datetime) -> TooMany | None:
    kind, who, allowance = counter
    question = select(COUNT.c.until).where(
        COUNT.c.kind == kind,
        COUNT.c.who == who,
        COUNT.c.count >= allowance.most,
        COUNT.c.until > now,
    )
    until = await query.fetchval(connection, question)
    return too_many(until, now) if until is not None else None


def _count_of(kind: str, who: str) -> ClauseElement:
    return select(COUNT.c.count).where(COUNT.c.kind == kind, COUNT.c.who == who)


async def _replace(connection: Connection, subject: str, hashed: str, now: datetime) -> None:
    values = {"hash": hashed, "expires_at": now + LIFETIME}
    statement = insert(CODE).values(subject=subject, **values)
    await query.execute(
        connection, statement.on_conflict_do_update(index_elements=[CODE.c.subject], set_=values)
    )


async def _forget(connection: Connection, subject: str) -> None:
    await query.execute(connection, delete(CODE).where(CODE.c.subject == subject))


async def _give_back(connection: Connection, subject: str, place: str) -> None:
    """The phone's tries, and the one of the address that was right."""
    await query.execute(
        connection, delete(COUNT).where(COUNT.c.kind == "try", COUNT.c.who == subject)
    )
    await query.execute(
        connection,
        update(COUNT)
        .where(COUNT.c.kind == "try by address", COUNT.c.who == place)
        .values(count=func.greatest(COUNT.c.count - 1, 0)),
    )


async def _prune(connection: Connection, now: datetime) -> None:
    """Forget some of what is over. What somebody else holds is left to the next."""
    gone = (
        select(CODE.c.subject).where(CODE.c.expires_at <= now).limit(PRUNED_AT_ONCE)
    ).with_for_update(skip_locked=True)
    await query.execute(connection, delete(CODE).where(CODE.c.subject.in_(gone)))
    over = (
        select(COUNT.c.kind, COUNT.c.who).where(COUNT.c.until <= now).limit(PRUNED_AT_ONCE)
    ).with_for_update(skip_locked=True)
    await query.execute(
        connection, delete(COUNT).where(tuple_(COUNT.c.kind, COUNT.c.who).in_(over))
    )
