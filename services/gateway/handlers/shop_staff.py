"""Who works in a shop: as what, what the shop calls them, and what they may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from contracts.gateway import AccountId
from libs.errors import Forbidden, NotFound
from services.gateway.domain.shop import Card, card_of, place_of
from services.gateway.domain.shop_standing import ADMIN, Standing, standing_of
from services.gateway.handlers.identity import Identity, load, open_person, person_of
from services.gateway.read_models import account as accounts
from services.gateway.read_models.account import AccountRow

MOST: Final = 1000
"""A shop has fewer people than this; of more, the last would not be seen."""


class NotStaff(NotFound):
    """Nobody of this shop."""


class SwitchedOff(Forbidden):
    """Somebody of this shop who may do nothing there for now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Somebody of a shop, in the clear: not for logs, nor for events. `phone` is E.164.

    `is_open` says whether the account itself opens anything.
    """

    account_id: AccountId
    number: int
    phone: str | None
    card: Card
    standing: Standing
    is_open: bool
    opened_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether they may log in."""
        return self.standing.active and self.is_open


async def member_of(identity: Identity, account_id: AccountId, tenant: str) -> Member:
    """Somebody of the shop, as the log has them. Raises NotStaff, LogUnavailable."""
    account = (await load(identity, account_id)).account
    standing = standing_of(account.roles.get(place_of(tenant), ""))
    if not account.known or standing is None:
        raise NotStaff
    person = person_of(identity, account_id, account)
    return Member(
        account_id=account_id,
        number=account.number,
        phone=person.phone,
        card=card_of(person, tenant),
        standing=standing,
        is_open=account.active,
    )


async def working(identity: Identity, account_id: AccountId, tenant: str) -> Member:
    """The same if they may work. Raises NotStaff, SwitchedOff, LogUnavailable."""
    member = await member_of(identity, account_id, tenant)
    if not member.active:
        raise SwitchedOff
    return member


async def staff_of(identity: Identity, tenant: str) -> Sequence[Member]:
    """Everybody of the shop, those who are switched off too; behind the log by moments."""
    page = await accounts.of_place(identity.pool, place_of(tenant), limit=MOST)
    return [member for row in page.accounts if (member := listed(identity, row, tenant))]


async def by_number(identity: Identity, number: int, tenant: str) -> Member:
    """Somebody by the number that clients know them by. Raises NotStaff, Unavailable."""
    row = await accounts.by_number(identity.pool, number)
    member = listed(identity, row, tenant) if row is not None else None
    if member is None:
        raise NotStaff
    return member


async def other_admins(identity: Identity, account_id: AccountId, tenant: str) -> bool:
    """Whether the shop has an active admin beside this one: the read model says who might be, the
    log who is."""
    place = place_of(tenant)
    page = await accounts.of_place(identity.pool, place, roles=(ADMIN,), active=True, limit=MOST)
    for row in page.accounts:
        if row.account_id != account_id:
            account = (await load(identity, row.account_id)).account
            if account.active and account.roles.get(place) == ADMIN:
                return True
    return False


def listed(identity: Identity, row: AccountRow, tenant: str) -> Member | None:
    """Somebody of the shop as they are listed; None if they are not of it."""
    standing = standing_of(row.role_in(place_of(tenant)) or "")
    if standing is None or row.removed_at is not None:
        return None
    person = open_person(identity.seal, row.account_id, row.sealed)
    return Member(
        account_id=row.account_id,
        number=row.number,
        phone=person.phone,
        card=card_of(person, tenant),
        standing=standing,
        is_open=row.active,
        opened_at=row.opened_at,
        changed_at=row.changed_at,
    )
