"""Which accounts exist, and which roles do they have?

The read model follows the log within moments. To read your own write, load the account instead.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select

from contracts.gateway import ACCOUNTS, EVENTS, AccountId, GatewayEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Pool, acquire
from libs.projections.projection import Connection, Projection
from services.gateway.accounts.domain.account import Offer
from services.gateway.accounts.domain.realm import PLATFORM, Realm, Role, Workspace
from services.gateway.accounts.read_models.account_tables import (
    ACCOUNT,
    OFFER,
    ROLE,
    project,
)

OURS: Final = ACCOUNT.c.tenant == PLATFORM
BY_NUMBER: Final = "SELECT * FROM account WHERE tenant = $1 AND number = $2"
BY_NUMBER_IN_WORKSPACE: Final = """
SELECT account.* FROM account JOIN account_offer AS offer USING (tenant, account_id)
WHERE tenant = $1 AND offer.realm = $2 AND offer.of_tenant = $3 AND offer.number = $4
"""


@dataclass(frozen=True, slots=True)
class OfferRow:
    """The last offer of a workspace. It is `pending` until it is answered."""

    workspace: Workspace
    offer: Offer
    pending: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountRow:
    """An account of the read model. `sealed` holds the personal data: see `open_person`."""

    account_id: AccountId
    number: int
    sealed: str
    has_password: bool
    active: bool
    roles: tuple[Role, ...]
    opened_at: datetime
    changed_at: datetime
    removed_at: datetime | None
    offers: tuple[OfferRow, ...] = ()

    def role_in(self, workspace: Workspace) -> str | None:
        """The account's role in the workspace; None without one."""
        return next((role.name for role in self.roles if role.workspace == workspace), None)

    def offer_in(self, workspace: Workspace, *, pending: bool = False) -> Offer | None:
        """The last offer of the workspace, if any; with `pending` only an unanswered one."""
        for one in self.offers:
            if one.workspace == workspace:
                return one.offer if one.pending or not pending else None
        return None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of accounts, and the number of accounts on all pages."""

    accounts: Sequence[AccountRow]
    total: int


async def by_number(pool: Pool, number: int) -> AccountRow | None:
    """The account by its number, the id that doors without UUIDs show; also a removed one.

    Raises Unavailable, as all queries of this module do.
    """
    if not 0 < number < 2**63:
        return None
    async with acquire(pool) as connection:
        row = await query.fetchrow(connection, BY_NUMBER, PLATFORM, number)
        return await _only(connection, row)


async def by_number_in_workspace(
    pool: Pool, number: int, workspace: Workspace
) -> AccountRow | None:
    """The account by the number of an offer of `workspace`, answered or not."""
    if not 0 < number < 2**63:
        return None
    at = (PLATFORM, workspace.realm, workspace.tenant, number)
    async with acquire(pool) as connection:
        row = await query.fetchrow(connection, BY_NUMBER_IN_WORKSPACE, *at)
        return await _only(connection, row)


async def in_workspace(
    pool: Pool,
    workspace: Workspace | None,
    *,
    roles: Sequence[str] = (),
    active: bool | None = None,
    invited: bool = False,
    limit: int = 100,
    offset: int = 0,
) -> Page:
    """Accounts with a role (one of `roles`, if given) in `workspace`, oldest first.

    Without a workspace all accounts. Removed accounts are left out; `invited` includes accounts
    with a pending offer.
    """
    held = (
        [or_(*_in(workspace, roles), *_invited_to(workspace))] if invited else _in(workspace, roles)
    )
    matching = [OURS, ACCOUNT.c.removed_at.is_(None), *held]
    if active is not None:
        matching.append(ACCOUNT.c.active == active)
    some = select(ACCOUNT).where(*matching).order_by(ACCOUNT.c.number)
    async with acquire(pool) as connection:
        rows = await query.fetch(connection, some.limit(limit).offset(offset))
        every = select(func.count()).select_from(ACCOUNT).where(*matching)
        total = await query.fetchval(connection, every)
        return Page(await _with_roles(connection, rows), total)


async def holders(pool: Pool, role: Role) -> Sequence[AccountId]:
    """The active accounts with this role."""
    matching = (OURS, ACCOUNT.c.active, *_in(role.workspace, (role.name,)))
    rows = await query.fetch(pool, select(ACCOUNT.c.account_id).where(*matching))
    return [AccountId(row["account_id"]) for row in rows]


async def workspaces(pool: Pool) -> Sequence[Workspace]:
    """All workspaces in which accounts have roles, without the shops."""
    held = select(ROLE.c.realm, ROLE.c.of_tenant).where(
        ROLE.c.tenant == PLATFORM, ROLE.c.realm != Realm.SHOP.value
    )
    rows = await query.fetch(pool, held.distinct())
    return [Workspace(row["realm"], row["of_tenant"]) for row in rows]


def projection() -> Projection[GatewayEvent]:
    """The declaration of the read model."""
    return Projection(
        name="account",
        tables=("account", "account_role", "account_offer"),
        topics=(ACCOUNTS,),
        codec=codec_of(EVENTS),
        project=project,
    )


def _in(workspace: Workspace | None, roles: Sequence[str]) -> list[ColumnElement[bool]]:
    if workspace is None:
        return []
    held = select(ROLE.c.account_id).where(
        ROLE.c.tenant == PLATFORM,
        ROLE.c.realm == workspace.realm,
        ROLE.c.of_tenant == workspace.tenant,
    )
    return [ACCOUNT.c.account_id.in_(held.where(ROLE.c.role.in_(roles)) if roles else held)]


def _invited_to(workspace: Workspace | None) -> list[ColumnElement[bool]]:
    if workspace is None:
        return []
    offered = select(OFFER.c.account_id).where(
        OFFER.c.tenant == PLATFORM,
        OFFER.c.realm == workspace.realm,
        OFFER.c.of_tenant == workspace.tenant,
        OFFER.c.pending,
    )
    return [ACCOUNT.c.account_id.in_(offered)]


async def _only(connection: Connection, row: query.Row | None) -> AccountRow | None:
    accounts = await _with_roles(connection, [row] if row is not None else [])
    return accounts[0] if accounts else None


async def _with_roles(connection: Connection, rows: Sequence[query.Row]) -> list[AccountRow]:
    ids = [row["account_id"] for row in rows]
    offers = await _offers_of(connection, ids)
    held = select(ROLE).where(ROLE.c.tenant == PLATFORM, ROLE.c.account_id.in_(ids))
    roles = defaultdict(list)
    if ids:
        for role in await query.fetch(connection, held.order_by(ROLE.c.realm, ROLE.c.of_tenant)):
            workspace = Workspace(role["realm"], role["of_tenant"])
            roles[role["account_id"]].append(Role(workspace, role["role"]))
    return [
        query.row_as(
            AccountRow,
            row,
            roles=tuple(roles[row["account_id"]]),
            offers=tuple(offers[row["account_id"]]),
        )
        for row in rows
    ]


async def _offers_of(
    connection: Connection, ids: Sequence[UUID]
) -> defaultdict[UUID, list[OfferRow]]:
    last_offers = select(OFFER).where(OFFER.c.tenant == PLATFORM, OFFER.c.account_id.in_(ids))
    offers: defaultdict[UUID, list[OfferRow]] = defaultdict(list)
    for row in await query.fetch(connection, last_offers) if ids else ():
        offer = query.row_as(Offer, row)
        workspace = Workspace(row["realm"], row["of_tenant"])
        offers[row["account_id"]].append(OfferRow(workspace, offer, row["pending"]))
    return offers
