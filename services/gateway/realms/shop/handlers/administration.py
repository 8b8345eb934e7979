"""Administration of a shop's staff: hire, change, deactivate.

A shop changes a member's card and role in that shop. It cannot change the member's phone, the
Telegram account that receives codes, memberships of other shops, or the answer to an invitation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from contracts.gateway import AccountId
from libs.errors import Forbidden, Refused
from services.gateway.accounts.domain import person as people
from services.gateway.accounts.domain.account import Account, ActsThere, OfferUnknown
from services.gateway.accounts.domain.commands import GrantRole
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import Role
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.accounts.domain.shop_role import ADMIN, ShopRole, allowed_after, within
from services.gateway.accounts.handlers.address import AddressTaken, find
from services.gateway.accounts.handlers.execution import Plan, execute_with_facts
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.administration.handlers.account import open_account, update_person
from services.gateway.administration.handlers.administration import has_another
from services.gateway.realms.shop.domain import Card, Invitation, card_of, with_card
from services.gateway.realms.shop.handlers.membership import invite
from services.gateway.realms.shop.handlers.staff import (
    LastAdmin,
    NotStaff,
    StaffMember,
    member_of,
    staff_of,
)
from services.gateway.sessions.handlers.session import revoke_all


class PhoneTaken(Refused):
    """A member of this shop has this phone."""


class EmailTaken(Refused):
    """A member of this shop has this e-mail address."""


class IsAdmin(Refused):
    """An admin of a shop has all permissions and cannot be deactivated."""


class OwnRole(Forbidden):
    """Members cannot change their own permissions."""


class PrivilegeExceeded(Forbidden):
    """Members cannot grant or change a permission they do not hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StaffAdministrator:
    """The administrator of a shop, and the permissions they hold there."""

    account_id: AccountId
    tenant: str
    keys: frozenset[str]


async def hire(
    identity: Identity,
    administrator: StaffAdministrator,
    phone: str,
    card: Card,
    shop_role: ShopRole,
) -> StaffMember:
    """Invite the owner of the phone (E.164) to work in the shop, as `shop_role` once they accept.

    The answer does not reveal whether the phone has an account or which roles it has elsewhere.
    Raises PhoneTaken, EmailTaken, PrivilegeExceeded, OfferedTooOften, Unavailable.
    """
    _check_privilege(administrator, shop_role)
    await _email_is_free(identity, administrator.tenant, card.email, None)
    invitation, actor = Invitation(phone=phone, card=card), str(administrator.account_id)
    account_id = await find(identity, people.phone(phone))
    if account_id is None:
        account_id = await _open(identity, phone, actor)
    try:
        await invite(identity, account_id, administrator.tenant, invitation, shop_role, actor=actor)
    except ActsThere:
        raise PhoneTaken from None
    return await member_of(identity, account_id, administrator.tenant)


async def change(
    identity: Identity,
    administrator: StaffAdministrator,
    member: StaffMember,
    *,
    shop_role: Callable[[ShopRole], ShopRole],
    card: Callable[[Card], Card],
) -> StaffMember:
    """Change a member's role and card. Raises EmailTaken, and as `change_role`; then nothing was
    changed."""
    email = card(member.card).email
    if email != member.card.email:
        await _email_is_free(identity, administrator.tenant, email, member.account_id)
    if administrator.account_id != member.account_id:
        _check_privilege(administrator, member.shop_role)
    if member.invited:
        return await _reinvite(identity, administrator, member, shop_role, card)
    await change_role(identity, administrator, member, shop_role)
    await _change_card(identity, administrator, member.account_id, card)
    return await member_of(identity, member.account_id, administrator.tenant)


async def change_role(
    identity: Identity,
    administrator: StaffAdministrator,
    member: StaffMember,
    change: Callable[[ShopRole], ShopRole],
) -> StaffMember:
    """Change a member's role and end their sessions in the shop. `change` may run again.

    Raises OwnRole, PrivilegeExceeded, LastAdmin, NotStaff, Unavailable, and what `change` raises.
    """
    if member.invited:
        return await _reinvite(identity, administrator, member, change, lambda card: card)
    tenant, workspace = administrator.tenant, workspace_of_shop(administrator.tenant)
    async with identity.locks.hold(f"staff of {tenant}"):
        before = (await member_of(identity, member.account_id, tenant)).shop_role
        after = change(before)
        if after.name == before.name:
            return await member_of(identity, member.account_id, tenant)
        if administrator.account_id == member.account_id:
            raise OwnRole
        _check_privilege(administrator, before)
        _check_privilege(administrator, after)
        admin = Role(workspace, ADMIN)
        if before.name == ADMIN and not await has_another(identity, member.account_id, admin):
            raise LastAdmin
        await _grant(identity, administrator, member.account_id, after)
    actor = str(administrator.account_id)
    await revoke_all(
        identity, member.account_id, reason="revoked", actor=actor, workspace=workspace
    )
    return await member_of(identity, member.account_id, tenant)


async def allow(
    identity: Identity,
    administrator: StaffAdministrator,
    member: StaffMember,
    permissions: Mapping[str, bool],
) -> StaffMember:
    """Grant permissions to a member, or revoke them. Raises IsAdmin, PermissionUnknown, and as
    `change_role`."""

    def changed_role(shop_role: ShopRole) -> ShopRole:
        if shop_role.role == ADMIN:
            raise IsAdmin
        return allowed_after(shop_role, permissions)

    return await change_role(identity, administrator, member, changed_role)


async def deactivate(
    identity: Identity, administrator: StaffAdministrator, member: StaffMember
) -> StaffMember:
    """Deactivate a member: their permissions do not apply. Raises IsAdmin, and as `change_role`."""

    def deactivated(shop_role: ShopRole) -> ShopRole:
        if shop_role.role == ADMIN:
            raise IsAdmin
        return replace(shop_role, active=False)

    return await change_role(identity, administrator, member, deactivated)


def _check_privilege(administrator: StaffAdministrator, shop_role: ShopRole) -> None:
    if not within(shop_role, administrator.keys):
        raise PrivilegeExceeded


async def _email_is_free(
    identity: Identity, tenant: str, email: str | None, except_account: AccountId | None
) -> None:
    """Raises EmailTaken by the read model. The address is no login, so a race is acceptable."""
    if email is None:
        return
    for member in await staff_of(identity, tenant):
        if (
            member.account_id != except_account
            and (member.card.email or "").lower() == email.lower()
        ):
            raise EmailTaken


async def _open(identity: Identity, phone: str, actor: str) -> AccountId:
    """Open an account with the phone only, and without a role; its id."""
    try:
        person = Person(phone=phone)
        return (
            await open_account(identity, person, password=None, roles=(), actor=actor)
        ).account_id
    except AddressTaken as taken:
        # A concurrent request opened an account with the phone.
        return taken.account_id


async def _reinvite(
    identity: Identity,
    administrator: StaffAdministrator,
    member: StaffMember,
    shop_role: Callable[[ShopRole], ShopRole],
    card: Callable[[Card], Card],
) -> StaffMember:
    """Change a pending invitation. Raises NotStaff if it was answered meanwhile."""
    after = shop_role(member.shop_role)
    _check_privilege(administrator, member.shop_role)
    _check_privilege(administrator, after)
    invitation = Invitation(phone=member.phone or "", card=card(member.card))
    account_id, actor = member.account_id, str(administrator.account_id)
    try:
        await invite(
            identity, account_id, administrator.tenant, invitation, after, actor=actor, again=True
        )
    except OfferUnknown:
        raise NotStaff from None
    return await member_of(identity, account_id, administrator.tenant)


async def _change_card(
    identity: Identity,
    administrator: StaffAdministrator,
    account_id: AccountId,
    change: Callable[[Card], Card],
) -> None:
    tenant = administrator.tenant

    def changed(person: Person) -> Person:
        return with_card(person, tenant, change(card_of(person, tenant)))

    await update_person(identity, account_id, changed, actor=str(administrator.account_id))


async def _grant(
    identity: Identity,
    administrator: StaffAdministrator,
    account_id: AccountId,
    shop_role: ShopRole,
) -> None:
    role = Role(workspace_of_shop(administrator.tenant), shop_role.name)

    async def plan(account: Account) -> Plan:
        if role.workspace not in account.roles:
            # Only members have a role to change.
            raise NotStaff
        now = identity.clock()
        return GrantRole(account_id=account_id, role=role, others={}, now=now), ()

    await execute_with_facts(identity, account_id, plan, actor=str(administrator.account_id))
