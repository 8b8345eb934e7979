"""Device grants from the request to its answer.

Codes are keyed digests, the information about the device is sealed. A grant is kept for some
minutes after it expires, so that the device learns the outcome.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import TIMESTAMP, Column, Integer, MetaData, Table, Text, Uuid, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ClauseElement

from contracts.gateway import AccountId
from libs.postgres import query
from libs.postgres.pool import Pool, acquire
from libs.postgres.retention import prune
from services.gateway.device_grants.domain.grant import (
    SLOWER_SECONDS,
    Grant,
    GrantStatus,
    Verdict,
    verdict_of,
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


async def add(pool: Pool, grant: Grant, now: datetime) -> bool:
    """Store a new grant; False if another one has the same user code. Raises Unavailable."""
    new = insert(GRANT).values(
        device=grant.device_digest,
        shown=grant.user_code_digest,
        client=grant.client_id,
        account=grant.account_id,
        sealed=grant.sealed,
        answer=grant.status,
        pause=grant.pause,
        expires_at=grant.expires_at,
    )
    async with acquire(pool) as connection, connection.transaction():
        await prune(connection, "device_grant", "expires_at", now - REMEMBERED)
        inserted = new.on_conflict_do_nothing().returning(GRANT.c.device)
        return await query.fetchval(connection, inserted) is not None


async def find_waiting(pool: Pool, user_code_digest: str, now: datetime) -> Grant | None:
    """The grant with this user code that has no answer yet. Raises Unavailable."""
    c = GRANT.c
    statement = select(GRANT).where(
        c.shown == user_code_digest, c.answer == GrantStatus.WAITING, c.expires_at > now
    )
    row = await query.fetchrow(pool, statement)
    return _grant(row) if row is not None else None


async def claim(pool: Pool, user_code_digest: str, now: datetime) -> Grant | None:
    """Claim a waiting grant to answer it; None if another claim was first. Raises Unavailable."""
    c = GRANT.c
    claimed = (
        GRANT.update()
        .where(c.shown == user_code_digest, c.answer == GrantStatus.WAITING, c.expires_at > now)
        .values(answer=GrantStatus.ANSWERING)
        .returning(GRANT)
    )
    row = await query.fetchrow(pool, claimed)
    return _grant(row) if row is not None else None


async def set_status(
    pool: Pool, device_digest: str, status: GrantStatus, tenant: str | None = None
) -> None:
    """Set the status of a grant, and the tenant of the device. Raises Unavailable."""
    changed = GRANT.update().where(GRANT.c.device == device_digest)
    await query.execute(pool, changed.values(answer=status, tenant=tenant))


async def poll(
    pool: Pool, device_digest: str, client_id: str, now: datetime
) -> tuple[Verdict, Grant | None]:
    """The verdict on a poll of the device, and its grant. Raises Unavailable.

    `Verdict.IN` is returned once, also to concurrent polls. A poll that comes too soon increases
    the pause.
    """
    statement = select(GRANT).where(GRANT.c.device == device_digest).with_for_update()
    async with acquire(pool) as connection, connection.transaction():
        row = await query.fetchrow(connection, statement)
        grant = _grant(row) if row is not None else None
        verdict = verdict_of(grant, client_id, now)
        if grant is not None and (after := _after(grant, verdict, now)) is not None:
            await query.execute(connection, after)
    return verdict, grant


def _after(grant: Grant, verdict: Verdict, now: datetime) -> ClauseElement | None:
    """The change of the grant by a poll."""
    changed = GRANT.update().where(GRANT.c.device == grant.device_digest)
    match verdict:
        case Verdict.IN:
            return changed.values(answer=GrantStatus.USED)
        case Verdict.PENDING:
            return changed.values(polled_at=now)
        case Verdict.SLOW_DOWN:
            return changed.values(polled_at=now, pause=grant.pause + SLOWER_SECONDS)
        case _:
            return None


def _grant(row: query.Row) -> Grant:
    return Grant(
        device_digest=row["device"],
        user_code_digest=row["shown"],
        client_id=row["client"],
        account_id=AccountId(row["account"]),
        sealed=row["sealed"],
        status=GrantStatus(row["answer"]),
        tenant=row["tenant"],
        pause=row["pause"],
        polled_at=row["polled_at"],
        expires_at=row["expires_at"],
    )
