"""Device grants from the request to its answer.

Codes are keyed digests, the information about the device is sealed. A grant is kept for some
minutes after it expires, so that the device learns the outcome.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

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

_WAITING: Final = "shown = $1 AND answer = 'waiting' AND expires_at > $2"
INSERT: Final = """
INSERT INTO device_grant (device, shown, client, account, sealed, answer, pause, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING true
"""
FIND_WAITING: Final = f"SELECT * FROM device_grant WHERE {_WAITING}"  # noqa: S608 -- a constant
CLAIM: Final = f"""
UPDATE device_grant SET answer = 'answering' WHERE {_WAITING} RETURNING *
"""  # noqa: S608 -- a constant
SET_STATUS: Final = "UPDATE device_grant SET answer = $2, tenant = $3 WHERE device = $1"
LOCK: Final = "SELECT * FROM device_grant WHERE device = $1 FOR UPDATE"
SAVE: Final = "UPDATE device_grant SET answer = $2, polled_at = $3, pause = $4 WHERE device = $1"
REMEMBERED: Final = timedelta(minutes=10)


async def add(pool: Pool, grant: Grant, now: datetime) -> bool:
    """Store a new grant; False if another one has the same user code. Raises Unavailable."""
    values = (
        grant.device_digest,
        grant.user_code_digest,
        grant.client_id,
        grant.account_id,
        grant.sealed,
        grant.status,
        grant.pause,
        grant.expires_at,
    )
    async with acquire(pool) as connection, connection.transaction():
        await prune(connection, "device_grant", "expires_at", now - REMEMBERED)
        return bool(await connection.fetchval(INSERT, *values))


async def find_waiting(pool: Pool, user_code_digest: str, now: datetime) -> Grant | None:
    """The grant with this user code that has no answer yet. Raises Unavailable."""
    row = await query.fetchrow(pool, FIND_WAITING, user_code_digest, now)
    return _grant(row) if row is not None else None


async def claim(pool: Pool, user_code_digest: str, now: datetime) -> Grant | None:
    """Claim a waiting grant to answer it; None if another claim was first. Raises Unavailable."""
    row = await query.fetchrow(pool, CLAIM, user_code_digest, now)
    return _grant(row) if row is not None else None


async def set_status(
    pool: Pool, device_digest: str, status: GrantStatus, tenant: str | None = None
) -> None:
    """Set the status of a grant, and the tenant of the device. Raises Unavailable."""
    await query.execute(pool, SET_STATUS, device_digest, status, tenant)


async def poll(
    pool: Pool, device_digest: str, client_id: str, now: datetime
) -> tuple[Verdict, Grant | None]:
    """The verdict on a poll of the device, and its grant. Raises Unavailable.

    `Verdict.IN` is returned once, also to concurrent polls. A poll that comes too soon increases
    the pause.
    """
    async with acquire(pool) as connection, connection.transaction():
        row = await connection.fetchrow(LOCK, device_digest)
        grant = _grant(row) if row is not None else None
        verdict = verdict_of(grant, client_id, now)
        if grant is not None and (after := _after(grant, verdict, now)) != grant:
            values = (after.status, after.polled_at, after.pause)
            await query.execute(connection, SAVE, device_digest, *values)
    return verdict, grant


def _after(grant: Grant, verdict: Verdict, now: datetime) -> Grant:
    """The grant after a poll."""
    match verdict:
        case Verdict.IN:
            return replace(grant, status=GrantStatus.USED)
        case Verdict.PENDING:
            return replace(grant, polled_at=now)
        case Verdict.SLOW_DOWN:
            return replace(grant, polled_at=now, pause=grant.pause + SLOWER_SECONDS)
        case _:
            return grant


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
