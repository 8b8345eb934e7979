"""Device grants that wait for an answer.

Codes are keyed digests, what a device said of itself is sealed. A grant is kept for some minutes
longer than it can be used, so that the device hears what became of it.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import TIMESTAMP, Column, Integer, MetaData, Table, Text, Uuid, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ClauseElement

from contracts.gateway import AccountId
from libs.postgres import query
from libs.postgres.pool import Connection, Pool, acquire
from services.gateway.device_grants.domain.grant import (
    SLOWER_SECONDS,
    Answer,
    Grant,
    Verdict,
    judge,
)

GRANT: Final = Table(
    "device_grant",
    MetaData(),
    Column("device", Text, primary_key=True),
    Column("shown", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("account", Uuid, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("tenant", Text),
    Column("pause", Integer, nullable=False),
    Column("polled_at", TIMESTAMP(timezone=True)),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
)
REMEMBERED: Final = timedelta(minutes=10)
PRUNED_AT_ONCE: Final = 100


async def add(pool: Pool, grant: Grant, now: datetime) -> bool:
    """Let a grant wait; False if another one shows the same code. Raises Unavailable."""
    made = insert(GRANT).values(
        device=grant.device,
        shown=grant.shown,
        client=grant.client_id,
        account=grant.account_id,
        sealed=grant.sealed,
        answer=grant.answer,
        pause=grant.pause,
        expires_at=grant.expires_at,
    )
    async with acquire(pool) as connection, connection.transaction():
        await _prune(connection, now)
        kept = made.on_conflict_do_nothing().returning(GRANT.c.device)
        return await query.fetchval(connection, kept) is not None


async def waiting(pool: Pool, shown: str, now: datetime) -> Grant | None:
    """The grant that shows this code and has no answer yet. Raises Unavailable."""
    c = GRANT.c
    asked = select(GRANT).where(c.shown == shown, c.answer == Answer.WAITING, c.expires_at > now)
    async with acquire(pool) as connection:
        row = await query.fetchrow(connection, asked)
    return _grant(row) if row is not None else None


async def claim(pool: Pool, shown: str, now: datetime) -> Grant | None:
    """The same for whoever answers it: of several at once, one. Raises Unavailable."""
    c = GRANT.c
    claimed = (
        GRANT.update()
        .where(c.shown == shown, c.answer == Answer.WAITING, c.expires_at > now)
        .values(answer=Answer.ANSWERING)
        .returning(GRANT)
    )
    async with acquire(pool) as connection:
        row = await query.fetchrow(connection, claimed)
    return _grant(row) if row is not None else None


async def settle(pool: Pool, device: str, answer: Answer, tenant: str | None = None) -> None:
    """What became of it. Raises Unavailable."""
    said = GRANT.update().where(GRANT.c.device == device).values(answer=answer, tenant=tenant)
    async with acquire(pool) as connection:
        await query.execute(connection, said)


async def poll(
    pool: Pool, device: str, client_id: str, now: datetime
) -> tuple[Verdict, Grant | None]:
    """What the device hears; `Verdict.IN` is heard once, whoever asks at once. Raises Unavailable.

    Who asks too soon must leave more time from then on.
    """
    asked = select(GRANT).where(GRANT.c.device == device).with_for_update()
    async with acquire(pool) as connection, connection.transaction():
        row = await query.fetchrow(connection, asked)
        grant = _grant(row) if row is not None else None
        verdict = judge(grant, client_id, now)
        if grant is not None and (after := _after(grant, verdict, now)) is not None:
            await query.execute(connection, after)
    return verdict, grant


def _after(grant: Grant, verdict: Verdict, now: datetime) -> ClauseElement | None:
    """What a question changes."""
    changed = GRANT.update().where(GRANT.c.device == grant.device)
    match verdict:
        case Verdict.IN:
            return changed.values(answer=Answer.USED)
        case Verdict.PENDING:
            return changed.values(polled_at=now)
        case Verdict.SLOW_DOWN:
            return changed.values(polled_at=now, pause=grant.pause + SLOWER_SECONDS)
        case _:
            return None


async def _prune(connection: Connection, now: datetime) -> None:
    """Forget some of what is long over. What somebody else holds is left to the next."""
    gone = select(GRANT.c.device).where(GRANT.c.expires_at <= now - REMEMBERED)
    some = gone.limit(PRUNED_AT_ONCE).with_for_update(skip_locked=True)
    await query.execute(connection, delete(GRANT).where(GRANT.c.device.in_(some)))


def _grant(row: query.Row) -> Grant:
    return Grant(
        device=row["device"],
        shown=row["shown"],
        client_id=row["client"],
        account_id=AccountId(row["account"]),
        sealed=row["sealed"],
        answer=Answer(row["answer"]),
        tenant=row["tenant"],
        pause=row["pause"],
        polled_at=row["polled_at"],
        expires_at=row["expires_at"],
    )
