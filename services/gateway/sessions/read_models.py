"""Where is somebody logged in, and since when?"""

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
from libs.postgres.pool import Pool, acquire
from libs.projections.projection import Connection, Projection, by_stream
from services.gateway.accounts.domain.realm import PLATFORM, Place

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
"""`tenant` is that of the log, `of_tenant` where somebody acts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """A session as its owner sees it."""

    session_id: SessionId
    account_id: AccountId
    place: Place
    device: str
    opened_at: datetime
    refreshed_at: datetime
    expires_at: datetime


async def live_sessions(
    pool: Pool, account_id: UUID, now: datetime, *, place: Place | None = None
) -> Sequence[SessionRow]:
    """Sessions of an account that open something still, the newest first. Raises Unavailable."""
    c = SESSION.c
    matching = [c.tenant == PLATFORM, c.account_id == account_id]
    matching += [c.revoked_at.is_(None), c.expires_at > now]
    if place is not None:
        matching += [c.realm == place.realm, c.of_tenant == place.tenant]
    asked = select(SESSION).where(*matching).order_by(c.opened_at.desc(), c.session_id)
    async with acquire(pool) as connection:
        return [_row(row) for row in await query.fetch(connection, asked)]


async def last_logins(
    pool: Pool, account_ids: Sequence[UUID], *, place: Place | None = None
) -> Mapping[UUID, datetime]:
    """When each of the accounts last logged in (in a place), if ever."""
    if not account_ids:
        return {}
    c = SESSION.c
    matching = [c.tenant == PLATFORM, c.account_id.in_(account_ids)]
    if place is not None:
        matching += [c.realm == place.realm, c.of_tenant == place.tenant]
    latest = func.max(c.opened_at).label("at")
    asked = select(c.account_id, latest).where(*matching).group_by(c.account_id)
    async with acquire(pool) as connection:
        return {row["account_id"]: row["at"] for row in await query.fetch(connection, asked)}


async def last_used(pool: Pool, account_id: UUID, realm: str) -> Mapping[str, datetime]:
    """When the account last logged in to each tenant of a realm."""
    c = SESSION.c
    mine = (c.tenant == PLATFORM, c.account_id == account_id, c.realm == realm)
    asked = select(c.of_tenant, func.max(c.opened_at).label("at")).where(*mine)
    async with acquire(pool) as connection:
        rows = await query.fetch(connection, asked.group_by(c.of_tenant))
    return {row["of_tenant"]: row["at"] for row in rows}


async def project(connection: Connection, batch: Sequence[Envelope[GatewayEvent]]) -> None:
    """See `Projection`."""
    for envelope in batch:
        match envelope.event:
            case SessionOpened() as opened:
                await query.execute(connection, _opened(envelope.tenant, opened))
            case SessionRefreshed(session_id=of, refreshed_at=at, expires_at=expires):
                new = {"refreshed_at": at, "expires_at": expires}
                await query.execute(connection, _with(envelope.tenant, of, new))
            case SessionRevoked(session_id=of, revoked_at=at, reason=reason):
                ended = {"revoked_at": at, "revoked_because": reason}
                await query.execute(connection, _with(envelope.tenant, of, ended))
            case _:
                # Of other topics, which this read model does not read.
                pass


def projection() -> Projection[GatewayEvent]:
    """What the projector is told."""
    return Projection(
        name="session",
        tables=("session",),
        topics=(SESSIONS,),
        codec=codec_of(EVENTS),
        project=project,
        shard_key=by_stream,
    )


def _opened(tenant: str, event: SessionOpened) -> ClauseElement:
    return insert(SESSION).values(
        tenant=tenant,
        session_id=event.session_id,
        account_id=event.account_id,
        realm=event.realm,
        of_tenant=event.tenant,
        device=event.device,
        opened_at=event.opened_at,
        refreshed_at=event.opened_at,
        expires_at=event.expires_at,
    )


def _with(tenant: str, session_id: UUID, values: Mapping[str, object]) -> ClauseElement:
    is_it = (SESSION.c.tenant == tenant, SESSION.c.session_id == session_id)
    return SESSION.update().where(*is_it).values(**values)


def _row(row: query.Row) -> SessionRow:
    return SessionRow(
        session_id=SessionId(row["session_id"]),
        account_id=AccountId(row["account_id"]),
        place=Place(row["realm"], row["of_tenant"]),
        device=row["device"],
        opened_at=row["opened_at"],
        refreshed_at=row["refreshed_at"],
        expires_at=row["expires_at"],
    )
