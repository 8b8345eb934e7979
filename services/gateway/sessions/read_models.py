"""Which sessions does an account have, and when were they opened?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import TIMESTAMP, Column, MetaData, Table, Text, Uuid, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ClauseElement

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
    c = SESSION.c
    mine = (c.tenant == PLATFORM, c.account_id == account_id, c.realm == realm)
    statement = select(c.of_tenant, func.max(c.opened_at).label("at")).where(*mine)
    rows = await query.fetch(pool, statement.group_by(c.of_tenant))
    return {row["of_tenant"]: row["at"] for row in rows}


async def project(connection: Connection, batch: Sequence[Envelope[GatewayEvent]]) -> None:
    """See `Projection`."""
    for envelope in batch:
        match envelope.event:
            case SessionOpened() as opened:
                await query.execute(connection, _insert_session(envelope.tenant, opened))
            case SessionRefreshed(session_id=of, refreshed_at=at, expires_at=expires):
                new = {"refreshed_at": at, "expires_at": expires}
                await query.execute(connection, _update(envelope.tenant, of, new))
            case SessionRevoked(session_id=of, revoked_at=at, reason=reason):
                ended = {"revoked_at": at, "revoked_because": reason}
                await query.execute(connection, _update(envelope.tenant, of, ended))
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


def _insert_session(tenant: str, event: SessionOpened) -> ClauseElement:
    values = query.values_for(
        SESSION, event, tenant=tenant, of_tenant=event.tenant, refreshed_at=event.opened_at
    )
    return insert(SESSION).values(**values)


def _update(tenant: str, session_id: UUID, values: Mapping[str, object]) -> ClauseElement:
    this_session = (SESSION.c.tenant == tenant, SESSION.c.session_id == session_id)
    return SESSION.update().where(*this_session).values(**values)


def _row(row: query.Row) -> SessionRow:
    return query.row_as(SessionRow, row, workspace=Workspace(row["realm"], row["of_tenant"]))
