"""The staff of a shop: roles, cards and permissions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from contracts.gateway import AccountId
from libs.errors import Forbidden, NotFound, Refused
from services.gateway.accounts.domain.account import Offer
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.accounts.domain.shop_role import ADMIN, ShopRole, parse_shop_role
from services.gateway.accounts.handlers.identity import Identity, load, open_person, person_of
from services.gateway.accounts.read_models import account as accounts
from services.gateway.accounts.read_models.account import AccountRow
from services.gateway.realms.shop.domain import Card, card_of
from services.gateway.realms.shop.handlers.card import open_invitation

MOST: Final = 1000
"""The largest staff of a shop that is listed."""


class NotStaff(NotFound):
    """The account is neither a member of the shop nor invited."""


class LastAdmin(Refused):
    """A shop must have an admin: it is the last one."""


class SwitchedOff(Forbidden):
    """The member is deactivated in this shop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StaffMember:
    """A member of a shop or an `invited` person, in the clear: not for logs or events.

    `phone` is E.164, `is_open` whether the account is active. An invited person has only what the
    shop wrote: it learns nothing of the account before it accepts.
    """

    account_id: AccountId
    number: int
    phone: str | None
    card: Card
    shop_role: ShopRole
    is_open: bool
    invited: bool = False
    opened_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether the member may log in to the shop."""
        return self.shop_role.active and self.is_open


async def member_of(identity: Identity, account_id: AccountId, tenant: str) -> StaffMember:
    """Load a member or invited person from the log. Raises NotStaff, LogUnavailable."""
    account, workspace = (await load(identity, account_id)).account, workspace_of_shop(tenant)
    shop_role = parse_shop_role(account.roles.get(workspace, ""))
    if not account.known:
        raise NotStaff
    if shop_role is None:
        if (offer := account.offers.get(workspace)) is None:
            raise NotStaff
        return _invited(identity, account_id, tenant, offer)
    person = person_of(identity, account_id, account)
    return StaffMember(
        account_id=account_id,
        number=account.numbers.get(workspace, account.number),
        phone=person.phone,
        card=card_of(person, tenant),
        shop_role=shop_role,
        is_open=account.active,
    )


async def working(identity: Identity, account_id: AccountId, tenant: str) -> StaffMember:
    """Load an active member from the log. Raises NotStaff, SwitchedOff, LogUnavailable."""
    member = await member_of(identity, account_id, tenant)
    if member.invited:
        raise NotStaff
    if not member.active:
        raise SwitchedOff
    return member


async def staff_of(identity: Identity, tenant: str) -> Sequence[StaffMember]:
    """All members and invited persons of the shop, inactive ones too, by the read model."""
    workspace = workspace_of_shop(tenant)
    page = await accounts.in_workspace(identity.pool, workspace, invited=True, limit=MOST)
    return [member for row in page.accounts if (member := member_from_row(identity, row, tenant))]


async def by_number(identity: Identity, number: int, tenant: str) -> StaffMember:
    """The member or invited person with this number in the shop, loaded from the log.

    Raises NotStaff, Unavailable.
    """
    workspace = workspace_of_shop(tenant)
    row = await accounts.by_number_in_workspace(identity.pool, number, workspace)
    if row is None:
        row = await accounts.by_number(identity.pool, number)
        # An account that was invited has the number of its invitation, and not its own.
        row = None if row is not None and row.offer_in(workspace) else row
    if row is None or row.removed_at is not None:
        raise NotStaff
    current, row_member = (
        await member_of(identity, row.account_id, tenant),
        member_from_row(identity, row, tenant),
    )
    if row_member is None:
        return current
    return replace(current, opened_at=row_member.opened_at, changed_at=row_member.changed_at)


async def other_admins(identity: Identity, account_id: AccountId, tenant: str) -> bool:
    """Whether the shop has another active admin: found in the read model, checked in the log."""
    workspace = workspace_of_shop(tenant)
    page = await accounts.in_workspace(
        identity.pool, workspace, roles=(ADMIN,), active=True, limit=MOST
    )
    for row in page.accounts:
        if row.account_id != account_id:
            account = (await load(identity, row.account_id)).account
            if account.active and account.roles.get(workspace) == ADMIN:
                return True
    return False


def member_from_row(identity: Identity, row: AccountRow, tenant: str) -> StaffMember | None:
    """The member or invited person of a row of the read model; None if it is neither."""
    workspace = workspace_of_shop(tenant)
    shop_role, offer = parse_shop_role(row.role_in(workspace) or ""), row.offer_in(workspace)
    if row.removed_at is not None:
        return None
    if shop_role is None:
        pending = row.offer_in(workspace, pending=True)
        return _invited(identity, row.account_id, tenant, pending) if pending else None
    person = open_person(identity.seal, row.account_id, row.sealed)
    return StaffMember(
        account_id=row.account_id,
        number=offer.number if offer else row.number,
        phone=person.phone,
        card=card_of(person, tenant),
        shop_role=shop_role,
        is_open=row.active,
        opened_at=offer.offered_at if offer else row.opened_at,
        changed_at=row.changed_at,
    )


def _invited(identity: Identity, account_id: AccountId, tenant: str, offer: Offer) -> StaffMember:
    if (shop_role := parse_shop_role(offer.role)) is None:
        raise NotStaff
    invitation = open_invitation(identity, account_id, tenant, offer.sealed)
    return StaffMember(
        account_id=account_id,
        number=offer.number,
        phone=invitation.phone,
        card=invitation.card,
        shop_role=shop_role,
        is_open=True,
        invited=True,
        opened_at=offer.offered_at,
        changed_at=offer.offered_at,
    )
