"""The tables of `account`, and how events change them.

Who somebody is stays sealed here as it is in the log; addresses are digests. `tenant` is that of
the log, `of_tenant` where a role counts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    or_,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ClauseElement

from contracts.envelope import Envelope
from contracts.gateway import (
    AccountActivated,
    AccountDeactivated,
    AccountOpened,
    AccountRemoved,
    AddressClaimed,
    AddressReleased,
    GatewayEvent,
    PasswordSet,
    PersonChanged,
    RoleGranted,
    RoleOffered,
    RoleOfferEnded,
    RoleWithdrawn,
)
from libs.postgres import query
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
"""The last invitation of each place; kept when it is answered, for its `number` goes on."""
ADDRESS: Final = Table(
    "account_address",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("released", Boolean, nullable=False),
)
"""A row for every owner an address ever had."""


async def project(connection: Connection, batch: Sequence[Envelope[GatewayEvent]]) -> None:
    """See `Projection`. Accounts change rarely: one or two statements per event."""
    for envelope in batch:
        for statement in _statements(envelope.tenant, envelope.event):
            await query.execute(connection, statement)


def _statements(tenant: str, event: GatewayEvent) -> list[ClauseElement]:
    match event:
        case AccountOpened():
            return [_opened(tenant, event)]
        case AddressClaimed() | AddressReleased():
            return [_owned(tenant, event)]
        case RoleGranted():
            changed = _changed(tenant, event.account_id, event.granted_at)
            return [_granted(tenant, event), _answered(tenant, event), changed]
        case RoleWithdrawn():
            changed = _changed(tenant, event.account_id, event.withdrawn_at)
            return [_withdrawn(tenant, event), changed]
        case RoleOffered():
            return [_offered(tenant, event)]
        case RoleOfferEnded():
            return [_answered(tenant, event)]
        case _:
            return _status_changed(tenant, event)


def _status_changed(tenant: str, event: GatewayEvent) -> list[ClauseElement]:
    match event:
        case PersonChanged(account_id=of, changed_at=at, sealed=sealed):
            return [_changed(tenant, of, at, sealed=sealed)]
        case PasswordSet(account_id=of):
            # A hash that was renewed is no change, and has the moment of the old one.
            return [_with(tenant, of, has_password=True)]
        case AccountDeactivated(account_id=of, deactivated_at=at):
            return [_changed(tenant, of, at, active=False)]
        case AccountActivated(account_id=of, activated_at=at):
            return [_changed(tenant, of, at, active=True)]
        case AccountRemoved(account_id=of, removed_at=at):
            return [_changed(tenant, of, at, active=False, removed_at=at)]
        case _:
            # Of other topics, which this read model does not read.
            return []


def _opened(tenant: str, event: AccountOpened) -> ClauseElement:
    return insert(ACCOUNT).values(
        tenant=tenant,
        account_id=event.account_id,
        number=event.number,
        sealed=event.sealed,
        has_password=False,
        active=True,
        opened_at=event.opened_at,
        changed_at=event.opened_at,
    )


def _changed(tenant: str, account_id: UUID, at: datetime, **values: Any) -> ClauseElement:
    return _with(tenant, account_id, changed_at=at, **values)


def _with(tenant: str, account_id: UUID, **values: Any) -> ClauseElement:
    is_it = (ACCOUNT.c.tenant == tenant, ACCOUNT.c.account_id == account_id)
    return ACCOUNT.update().where(*is_it).values(**values)


def _granted(tenant: str, event: RoleGranted) -> ClauseElement:
    said = insert(ROLE).values(
        tenant=tenant,
        account_id=event.account_id,
        realm=event.realm,
        of_tenant=event.tenant,
        role=event.role,
        granted_at=event.granted_at,
    )
    new = {"role": said.excluded.role, "granted_at": said.excluded.granted_at}
    return said.on_conflict_do_update(index_elements=[*ROLE.primary_key], set_=new)


def _withdrawn(tenant: str, event: RoleWithdrawn) -> ClauseElement:
    return ROLE.delete().where(
        ROLE.c.tenant == tenant,
        ROLE.c.account_id == event.account_id,
        ROLE.c.realm == event.realm,
        ROLE.c.of_tenant == event.tenant,
    )


def _offered(tenant: str, event: RoleOffered) -> ClauseElement:
    said = insert(OFFER).values(
        tenant=tenant,
        account_id=event.account_id,
        realm=event.realm,
        of_tenant=event.tenant,
        number=event.number,
        role=event.role,
        sealed=event.sealed,
        offered_at=event.offered_at,
        pending=True,
    )
    new = {name: said.excluded[name] for name in ("role", "sealed", "offered_at", "pending")}
    return said.on_conflict_do_update(index_elements=[*OFFER.primary_key], set_=new)


def _answered(tenant: str, event: RoleGranted | RoleOfferEnded) -> ClauseElement:
    is_it = (
        OFFER.c.tenant == tenant,
        OFFER.c.account_id == event.account_id,
        OFFER.c.realm == event.realm,
        OFFER.c.of_tenant == event.tenant,
    )
    return OFFER.update().where(*is_it).values(pending=False)


def _owned(tenant: str, event: AddressClaimed | AddressReleased) -> ClauseElement:
    # Facts come in any order: what was released stays so, even if the claim arrives after it.
    said = insert(ADDRESS).values(
        tenant=tenant,
        digest=event.digest,
        generation=event.generation,
        kind=event.kind,
        account_id=event.account_id,
        released=isinstance(event, AddressReleased),
    )
    released = or_(ADDRESS.c.released, said.excluded.released)
    return said.on_conflict_do_update(
        index_elements=[*ADDRESS.primary_key], set_={"released": released}
    )
