"""The tables of the read model `account`, and the projection of events on them.

Personal data is sealed as in the log, addresses are digests. `tenant` is the tenant in the log,
`of_tenant` the tenant of a role's workspace.
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
"""The last offer of each workspace. It stays when it is answered: its `number` is reused."""
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
"""One row for each owner that an address ever had."""


async def project(connection: Connection, batch: Sequence[Envelope[GatewayEvent]]) -> None:
    """See `Projection`. Accounts change rarely, so each event is one to three statements."""
    for envelope in batch:
        for statement in _statements(envelope.tenant, envelope.event):
            await query.execute(connection, statement)


def _statements(tenant: str, event: GatewayEvent) -> list[ClauseElement]:
    match event:
        case AccountOpened():
            return [_insert_account(tenant, event)]
        case AddressClaimed() | AddressReleased():
            return [_upsert_address(tenant, event)]
        case RoleGranted():
            changed = _touch(tenant, event.account_id, event.granted_at)
            return [_upsert_role(tenant, event), _answer_offer(tenant, event), changed]
        case RoleWithdrawn():
            changed = _touch(tenant, event.account_id, event.withdrawn_at)
            return [_delete_role(tenant, event), changed]
        case RoleOffered():
            return [_upsert_offer(tenant, event)]
        case RoleOfferEnded():
            return [_answer_offer(tenant, event)]
        case _:
            return _account_statements(tenant, event)


def _account_statements(tenant: str, event: GatewayEvent) -> list[ClauseElement]:
    match event:
        case PersonChanged(account_id=of, changed_at=at, sealed=sealed):
            return [_touch(tenant, of, at, sealed=sealed)]
        case PasswordSet(account_id=of):
            # `changed_at` stays: a renewed hash is no change of the account.
            return [_update(tenant, of, has_password=True)]
        case AccountDeactivated(account_id=of, deactivated_at=at):
            return [_touch(tenant, of, at, active=False)]
        case AccountActivated(account_id=of, activated_at=at):
            return [_touch(tenant, of, at, active=True)]
        case AccountRemoved(account_id=of, removed_at=at):
            return [_touch(tenant, of, at, active=False, removed_at=at)]
        case _:
            # Events of topics that this read model does not subscribe to.
            return []


def _insert_account(tenant: str, event: AccountOpened) -> ClauseElement:
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


def _touch(tenant: str, account_id: UUID, at: datetime, **values: Any) -> ClauseElement:
    return _update(tenant, account_id, changed_at=at, **values)


def _update(tenant: str, account_id: UUID, **values: Any) -> ClauseElement:
    this_account = (ACCOUNT.c.tenant == tenant, ACCOUNT.c.account_id == account_id)
    return ACCOUNT.update().where(*this_account).values(**values)


def _upsert_role(tenant: str, event: RoleGranted) -> ClauseElement:
    statement = insert(ROLE).values(
        tenant=tenant,
        account_id=event.account_id,
        realm=event.realm,
        of_tenant=event.tenant,
        role=event.role,
        granted_at=event.granted_at,
    )
    new = {"role": statement.excluded.role, "granted_at": statement.excluded.granted_at}
    return statement.on_conflict_do_update(index_elements=[*ROLE.primary_key], set_=new)


def _delete_role(tenant: str, event: RoleWithdrawn) -> ClauseElement:
    return ROLE.delete().where(
        ROLE.c.tenant == tenant,
        ROLE.c.account_id == event.account_id,
        ROLE.c.realm == event.realm,
        ROLE.c.of_tenant == event.tenant,
    )


def _upsert_offer(tenant: str, event: RoleOffered) -> ClauseElement:
    statement = insert(OFFER).values(
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
    new = {name: statement.excluded[name] for name in ("role", "sealed", "offered_at", "pending")}
    return statement.on_conflict_do_update(index_elements=[*OFFER.primary_key], set_=new)


def _answer_offer(tenant: str, event: RoleGranted | RoleOfferEnded) -> ClauseElement:
    this_offer = (
        OFFER.c.tenant == tenant,
        OFFER.c.account_id == event.account_id,
        OFFER.c.realm == event.realm,
        OFFER.c.of_tenant == event.tenant,
    )
    return OFFER.update().where(*this_offer).values(pending=False)


def _upsert_address(tenant: str, event: AddressClaimed | AddressReleased) -> ClauseElement:
    # Facts arrive in any order: a released address stays released if its claim arrives later.
    statement = insert(ADDRESS).values(
        tenant=tenant,
        digest=event.digest,
        generation=event.generation,
        kind=event.kind,
        account_id=event.account_id,
        released=isinstance(event, AddressReleased),
    )
    released = or_(ADDRESS.c.released, statement.excluded.released)
    return statement.on_conflict_do_update(
        index_elements=[*ADDRESS.primary_key], set_={"released": released}
    )
