"""Which accounts are there, and what may each do where?

Behind the log by moments. Who must see their own write asks the handlers, which read the log.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select

from contracts.gateway import ACCOUNTS, ADDRESSES, EVENTS, AccountId, GatewayEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Pool, acquire
from libs.projections.projection import Connection, Projection
from services.gateway.accounts.domain.account import Offer
from services.gateway.accounts.domain.realm import CHIEFS, PLATFORM, SUPERADMIN, Place, Realm, Role
from services.gateway.accounts.read_models.account_rows import (
    ACCOUNT,
    ADDRESS,
    OFFER,
    ROLE,
    project,
)

OURS: Final = ACCOUNT.c.tenant == PLATFORM
BY_ID: Final = select(ACCOUNT).where(OURS, ACCOUNT.c.account_id == bindparam("account_id"))
BY_NUMBER: Final = select(ACCOUNT).where(OURS, ACCOUNT.c.number == bindparam("number"))
BY_NUMBER_OF_PLACE: Final = (
    select(ACCOUNT)
    .join(OFFER, and_(OFFER.c.tenant == PLATFORM, OFFER.c.account_id == ACCOUNT.c.account_id))
    .where(
        OURS,
        OFFER.c.realm == bindparam("realm"),
        OFFER.c.of_tenant == bindparam("of_tenant"),
        OFFER.c.number == bindparam("number"),
    )
)
BY_ADDRESS: Final = (
    select(ACCOUNT)
    .join(ADDRESS, and_(ADDRESS.c.tenant == PLATFORM, ADDRESS.c.account_id == ACCOUNT.c.account_id))
    .where(OURS, ADDRESS.c.digest == bindparam("digest"), ~ADDRESS.c.released)
    .order_by(ADDRESS.c.generation.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class OfferRow:
    """The last invitation to a place; not `pending` once it is answered."""

    place: Place
    offer: Offer
    pending: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountRow:
    """An account as it is listed. `sealed` is who they are, as the handlers open it."""

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

    def role_in(self, place: Place) -> str | None:
        """What they are there, if anything."""
        return next((role.name for role in self.roles if role.place == place), None)

    def offer_in(self, place: Place, *, pending: bool = False) -> Offer | None:
        """What they were invited to be there, if they ever were; only if it is `pending`."""
        for one in self.offers:
            if one.place == place:
                return one.offer if one.pending or not pending else None
        return None


@dataclass(frozen=True, slots=True)
class Page:
    """Some accounts, and how many there are on all pages."""

    accounts: Sequence[AccountRow]
    total: int


async def by_id(pool: Pool, account_id: UUID) -> AccountRow | None:
    """The account, a removed one too. Raises Unavailable, as all questions here."""
    async with acquire(pool) as connection:
        row = await query.fetchrow(connection, BY_ID, account_id=account_id)
        return await _only(connection, row)


async def by_number(pool: Pool, number: int) -> AccountRow | None:
    """The same by the number that doors without UUIDs show."""
    if not 0 < number < 2**63:
        return None
    async with acquire(pool) as connection:
        row = await query.fetchrow(connection, BY_NUMBER, number=number)
        return await _only(connection, row)


async def by_number_of_place(pool: Pool, number: int, place: Place) -> AccountRow | None:
    """The same by the number of an invitation to `place`, answered or not."""
    if not 0 < number < 2**63:
        return None
    at = {"realm": place.realm, "of_tenant": place.tenant, "number": number}
    async with acquire(pool) as connection:
        row = await query.fetchrow(connection, BY_NUMBER_OF_PLACE, **at)
        return await _only(connection, row)


async def by_address(pool: Pool, digest: str) -> AccountRow | None:
    """Whose address has this digest. To let somebody in, ask the log instead."""
    async with acquire(pool) as connection:
        row = await query.fetchrow(connection, BY_ADDRESS, digest=digest)
        return await _only(connection, row)


async def of_place(
    pool: Pool,
    place: Place | None,
    *,
    roles: Sequence[str] = (),
    active: bool | None = None,
    invited: bool = False,
    limit: int = 100,
    offset: int = 0,
) -> Page:
    """Accounts that are not removed, with a role in `place` (any of `roles`), oldest first;
    `invited` lists those who are invited there too."""
    held = [or_(*_in(place, roles), *_invited_to(place))] if invited else _in(place, roles)
    matching = [OURS, ACCOUNT.c.removed_at.is_(None), *held]
    if active is not None:
        matching.append(ACCOUNT.c.active == active)
    some = select(ACCOUNT).where(*matching).order_by(ACCOUNT.c.number)
    async with acquire(pool) as connection:
        rows = await query.fetch(connection, some.limit(limit).offset(offset))
        every = select(func.count()).select_from(ACCOUNT).where(*matching)
        total = await query.fetchval(connection, every)
        return Page(await _with_roles(connection, rows), total)


async def superadmins(pool: Pool, place: Place) -> Sequence[AccountId]:
    """The active superadmins of a place, or what they are called there, as far as is known here."""
    matching = (OURS, ACCOUNT.c.active, *_in(place, (CHIEFS.get(place.realm, SUPERADMIN),)))
    async with acquire(pool) as connection:
        rows = await query.fetch(connection, select(ACCOUNT.c.account_id).where(*matching))
    return [AccountId(row["account_id"]) for row in rows]


async def places(pool: Pool) -> Sequence[Place]:
    """Everywhere that anybody has a role, but the shops."""
    held = select(ROLE.c.realm, ROLE.c.of_tenant).where(
        ROLE.c.tenant == PLATFORM, ROLE.c.realm != Realm.SHOP.value
    )
    async with acquire(pool) as connection:
        rows = await query.fetch(connection, held.distinct())
    return [Place(row["realm"], row["of_tenant"]) for row in rows]


def projection() -> Projection[GatewayEvent]:
    """What the projector is told."""
    return Projection(
        name="account",
        tables=("account", "account_role", "account_offer", "account_address"),
        topics=(ACCOUNTS, ADDRESSES),
        codec=codec_of(EVENTS),
        project=project,
    )


def _in(place: Place | None, roles: Sequence[str]) -> list[ColumnElement[bool]]:
    if place is None:
        return []
    held = select(ROLE.c.account_id).where(
        ROLE.c.tenant == PLATFORM, ROLE.c.realm == place.realm, ROLE.c.of_tenant == place.tenant
    )
    return [ACCOUNT.c.account_id.in_(held.where(ROLE.c.role.in_(roles)) if roles else held)]


def _invited_to(place: Place | None) -> list[ColumnElement[bool]]:
    if place is None:
        return []
    offered = select(OFFER.c.account_id).where(
        OFFER.c.tenant == PLATFORM,
        OFFER.c.realm == place.realm,
        OFFER.c.of_tenant == place.tenant,
        OFFER.c.pending,
    )
    return [ACCOUNT.c.account_id.in_(offered)]


async def _only(connection: Connection, row: query.Row | None) -> AccountRow | None:
    found = await _with_roles(connection, [row] if row is not None else [])
    return found[0] if found else None


async def _with_roles(connection: Connection, rows: Sequence[query.Row]) -> list[AccountRow]:
    ids = [row["account_id"] for row in rows]
    offers = await _offers_of(connection, ids)
    held = select(ROLE).where(ROLE.c.tenant == PLATFORM, ROLE.c.account_id.in_(ids))
    roles = defaultdict(list)
    if ids:
        for role in await query.fetch(connection, held.order_by(ROLE.c.realm, ROLE.c.of_tenant)):
            place = Place(role["realm"], role["of_tenant"])
            roles[role["account_id"]].append(Role(place, role["role"]))
    return [
        AccountRow(
            account_id=AccountId(row["account_id"]),
            number=row["number"],
            sealed=row["sealed"],
            has_password=row["has_password"],
            active=row["active"],
            roles=tuple(roles[row["account_id"]]),
            opened_at=row["opened_at"],
            changed_at=row["changed_at"],
            removed_at=row["removed_at"],
            offers=tuple(offers[row["account_id"]]),
        )
        for row in rows
    ]


async def _offers_of(
    connection: Connection, ids: Sequence[UUID]
) -> defaultdict[UUID, list[OfferRow]]:
    made = select(OFFER).where(OFFER.c.tenant == PLATFORM, OFFER.c.account_id.in_(ids))
    found: defaultdict[UUID, list[OfferRow]] = defaultdict(list)
    for row in await query.fetch(connection, made) if ids else ():
        names = ("role", "number", "sealed", "offered_at")
        offer = Offer(**{name: row[name] for name in names})
        place = Place(row["realm"], row["of_tenant"])
        found[row["account_id"]].append(OfferRow(place, offer, row["pending"]))
    return found
