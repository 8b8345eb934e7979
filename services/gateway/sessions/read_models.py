"""Which sessions does an account have, and when were they opened?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import TIMESTAMP, Column, MetaData, Table, Text, Uuid, func, select
from sqlalchemy.dialects.postgresql import insert

from contracts.envelope import Envelope
from contracts.gateway import (
    EVENTS,
    SESSIONS,
    AccountId,
    GatewayEvent,
    SessionId,
    SessionOpened,
    SessionRefreshed,
    SessionRevoked,
)
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Pool
from libs.projections.projection import Connection, Projection, by_stream
from services.gateway.accounts.domain.realm import PLATFORM, Workspace

SESSION: Final = Table(
    "session",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("session_id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("realm", Text, nullable=False),
    Column("of_tenant", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("opened_at", TIMESTAMP(timezone=True), nullable=False),
    Column("refreshed_at", TIMESTAMP(timezone=True), nullable=False),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
    Column("revoked_at", TIMESTAMP(timezone=True)),
    Column("revoked_because", Text),
)
"""`tenant` is the tenant in the log, `of_tenant` the tenant of the session's workspace."""

LAST_USED: Final = """
SELECT of_tenant, max(opened_at) AS at FROM session
WHERE tenant = $1 AND account_id = $2 AND realm = $3 GROUP BY of_tenant
"""
REFRESH: Final = """
UPDATE session SET refreshed_at = $3, expires_at = $4 WHERE tenant = $1 AND session_id = $2
"""
REVOKE: Final = """
UPDATE session SET revoked_at = $3, revoked_because = $4 WHERE tenant = $1 AND session_id = $2
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """A session, as its owner sees it in lists."""

    session_id: SessionId
    account_id: AccountId
    workspace: Workspace
    device: str
    opened_at: datetime
    refreshed_at: datetime
    expires_at: datetime


async def live_sessions(
    pool: Pool, account_id: UUID, now: datetime, *, workspace: Workspace | None = None
) -> Sequence[SessionRow]:
    """The live sessions of an account, newest first. Raises Unavailable."""
    c = SESSION.c
    matching = [c.tenant == PLATFORM, c.account_id == account_id]
    matching += [c.revoked_at.is_(None), c.expires_at > now]
    if workspace is not None:
        matching += [c.realm == workspace.realm, c.of_tenant == workspace.tenant]
    statement = select(SESSION).where(*matching).order_by(c.opened_at.desc(), c.session_id)
    return [_row(row) for row in await query.fetch(pool, statement)]


async def last_logins(
    pool: Pool, account_ids: Sequence[UUID], *, workspace: Workspace | None = None
) -> Mapping[UUID, datetime]:
    """The last login of each account (to a workspace); accounts without one are left out."""
    if not account_ids:
        return {}
    c = SESSION.c
    matching = [c.tenant == PLATFORM, c.account_id.in_(account_ids)]
    if workspace is not None:
        matching += [c.realm == workspace.realm, c.of_tenant == workspace.tenant]
    latest = func.max(c.opened_at).label("at")
    statement = select(c.account_id, latest).where(*matching).group_by(c.account_id)
    return {row["account_id"]: row["at"] for row in await query.fetch(pool, statement)}


async def last_used(pool: Pool, account_id: UUID, realm: str) -> Mapping[str, datetime]:
    """The last login of the account by tenant of a realm."""
    rows = await query.fetch(pool, LAST_USED, PLATFORM, account_id, realm)
    return {row["of_tenant"]: row["at"] for row in rows}


async def project(connection: Connection, batch: Sequence[Envelope[GatewayEvent]]) -> None:
    """See `Projection`."""
    for envelope in batch:
        match envelope.event:
            case SessionOpened() as opened:
                more = {"of_tenant": opened.tenant, "refreshed_at": opened.opened_at}
                row = query.values_for(SESSION, opened, tenant=envelope.tenant, **more)
                await query.execute(connection, insert(SESSION).values(**row))
            case SessionRefreshed(session_id=of, refreshed_at=at, expires_at=expires):
                await connection.execute(REFRESH, envelope.tenant, of, at, expires)
            case SessionRevoked(session_id=of, revoked_at=at, reason=reason):
                await connection.execute(REVOKE, envelope.tenant, of, at, reason)
            case _:
                # Events of topics that this read model does not subscribe to.
                pass


def projection() -> Projection[GatewayEvent]:
    """The declaration of the read model."""
    return Projection(
        name="session",
        tables=("session",),
        topics=(SESSIONS,),
        codec=codec_of(EVENTS),
        project=project,
        shard_key=by_stream,
    )


def _row(row: query.Row) -> SessionRow:
    return query.row_as(SessionRow, row, workspace=Workspace(row["realm"], row["of_tenant"]))
