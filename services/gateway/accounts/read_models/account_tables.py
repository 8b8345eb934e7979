"""The tables of the read model `account`, and the projection of events on them.

Personal data is sealed as in the log. `tenant` is the tenant in the log,
`of_tenant` the tenant of a role's workspace.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    Column,
    MetaData,
    Table,
    Text,
    Uuid,
)

from contracts.envelope import Envelope
from contracts.gateway import (
    AccountActivated,
    AccountDeactivated,
    AccountOpened,
    AccountRemoved,
    GatewayEvent,
    PasswordSet,
    PersonChanged,
    RoleGranted,
    RoleOffered,
    RoleOfferEnded,
    RoleWithdrawn,
)
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection

ACCOUNT: Final = Table(
    "account",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("account_id", Uuid, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("has_password", Boolean, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("opened_at", TIMESTAMP(timezone=True), nullable=False),
    Column("changed_at", TIMESTAMP(timezone=True), nullable=False),
    Column("removed_at", TIMESTAMP(timezone=True)),
)
ROLE: Final = Table(
    "account_role",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("account_id", Uuid, primary_key=True),
    Column("realm", Text, primary_key=True),
    Column("of_tenant", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("granted_at", TIMESTAMP(timezone=True), nullable=False),
)
OFFER: Final = Table(
    "account_offer",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("account_id", Uuid, primary_key=True),
    Column("realm", Text, primary_key=True),
    Column("of_tenant", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("role", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("offered_at", TIMESTAMP(timezone=True), nullable=False),
    Column("pending", Boolean, nullable=False),
)
"""The last offer of each workspace. It stays when it is answered: its `number` is reused."""


SAVE_ROLE: Final = upsert(ROLE)
SAVE_OFFER: Final = upsert(OFFER, insert_only="number")


async def project(connection: Connection, batch: Sequence[Envelope[GatewayEvent]]) -> None:
    """See `Projection`. Accounts change rarely, so each event is one to three statements."""
    for envelope in batch:
        await _project(connection, envelope.tenant, envelope.event)


async def _project(connection: Connection, tenant: str, event: GatewayEvent) -> None:
    match event:
        case AccountOpened():
            more = {"has_password": False, "active": True, "changed_at": event.opened_at}
            row = query.values_for(ACCOUNT, event, tenant=tenant, **more)
            await query.execute(connection, ACCOUNT.insert().values(**row))
        case RoleOffered():
            row = query.values_for(OFFER, event, **_workspace(tenant, event), pending=True)
            await SAVE_OFFER.put(connection, [row])
        case RoleOfferEnded():
            await _answer_offer(connection, tenant, event)
        case RoleGranted():
            row = query.values_for(ROLE, event, **_workspace(tenant, event))
            await SAVE_ROLE.put(connection, [row])
            await _answer_offer(connection, tenant, event)
        case RoleWithdrawn():
            gone = ROLE.delete().filter_by(**_workspace(tenant, event))
            await query.execute(connection, gone)
        case _:
            pass
    if changes := _changes(event):
        account_id = event.account_id  # type: ignore[union-attr]
        changed = ACCOUNT.update().filter_by(tenant=tenant, account_id=account_id)
        await query.execute(connection, changed.values(**changes))


def _changes(event: GatewayEvent) -> dict[str, Any]:
    """The changes of an account by an event; empty for events without any."""
    match event:
        case RoleGranted(granted_at=at) | RoleWithdrawn(withdrawn_at=at):
            return {"changed_at": at}
        case PersonChanged(changed_at=at, sealed=sealed):
            return {"changed_at": at, "sealed": sealed}
        case PasswordSet():
            # `changed_at` stays: a renewed hash is no change of the account.
            return {"has_password": True}
        case AccountDeactivated(deactivated_at=at):
            return {"changed_at": at, "active": False}
        case AccountActivated(activated_at=at):
            return {"changed_at": at, "active": True}
        case AccountRemoved(removed_at=at):
            return {"changed_at": at, "active": False, "removed_at": at}
        case _:
            return {}


def _workspace(
    tenant: str, event: RoleGranted | RoleWithdrawn | RoleOffered | RoleOfferEnded
) -> dict[str, Any]:
    """The key of the account's role or offer in a workspace."""
    return {
        "tenant": tenant,
        "account_id": event.account_id,
        "realm": event.realm,
        "of_tenant": event.tenant,
    }


async def _answer_offer(
    connection: Connection, tenant: str, event: RoleGranted | RoleOfferEnded
) -> None:
    answered = OFFER.update().filter_by(**_workspace(tenant, event)).values(pending=False)
    await query.execute(connection, answered)
