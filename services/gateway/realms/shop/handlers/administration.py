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
    """The administrator of a shop's staff, with the permissions held there (`keys`)."""

    identity: Identity
    account_id: AccountId
    tenant: str
    keys: frozenset[str]

    async def hire(self, phone: str, card: Card, shop_role: ShopRole) -> StaffMember:
        """Invite the owner of the phone (E.164) to work as `shop_role` once they accept.

        The answer does not reveal whether the phone has an account or which roles it has elsewhere.
        Raises PhoneTaken, EmailTaken, PrivilegeExceeded, OfferedTooOften, Unavailable.
        """
        self._check_privilege(shop_role)
        await self._check_email(card.email, None)
        account_id = await find(self.identity, people.phone(phone)) or await self._open(phone)
        try:
            await self._invite(account_id, Invitation(phone=phone, card=card), shop_role)
        except ActsThere:
            raise PhoneTaken from None
        return await self._load(account_id)

    async def change(
        self,
        member: StaffMember,
        *,
        shop_role: Callable[[ShopRole], ShopRole],
        card: Callable[[Card], Card],
    ) -> StaffMember:
        """Change a member's role and card. Raises EmailTaken, and as `change_role`; then nothing
        was changed."""
        email = card(member.card).email
        if email != member.card.email:
            await self._check_email(email, member.account_id)
        if self.account_id != member.account_id:
            self._check_privilege(member.shop_role)
        if member.invited:
            return await self._reinvite(member, shop_role, card)
        await self.change_role(member, shop_role)

        def changed(person: Person) -> Person:
            return with_card(person, self.tenant, card(card_of(person, self.tenant)))

        await update_person(self.identity, member.account_id, changed, actor=str(self.account_id))
        return await self._load(member.account_id)

    async def change_role(
        self, member: StaffMember, change: Callable[[ShopRole], ShopRole]
    ) -> StaffMember:
        """Change a member's role and end their sessions in the shop. `change` may run again.

        Raises OwnRole, PrivilegeExceeded, LastAdmin, NotStaff, Unavailable, and what `change`
        raises.
        """
        if member.invited:
            return await self._reinvite(member, change, lambda card: card)
        account_id, workspace = member.account_id, workspace_of_shop(self.tenant)
        async with self.identity.locks.hold(f"staff of {self.tenant}"):
            before = (await self._load(account_id)).shop_role
            after = change(before)
            if after.name == before.name:
                return await self._load(account_id)
            if self.account_id == account_id:
                raise OwnRole
            self._check_privilege(before)
            self._check_privilege(after)
            admin = Role(workspace, ADMIN)
            if before.name == ADMIN and not await has_another(self.identity, account_id, admin):
                raise LastAdmin
            await self._grant(account_id, Role(workspace, after.name))
        actor = str(self.account_id)
        await revoke_all(
            self.identity, account_id, reason="revoked", actor=actor, workspace=workspace
        )
        return await self._load(account_id)

    async def allow(self, member: StaffMember, permissions: Mapping[str, bool]) -> StaffMember:
        """Grant permissions to a member, or revoke them. Raises IsAdmin, PermissionUnknown, and as
        `change_role`."""
        return await self.change_role(
            member, lambda before: allowed_after(_no_admin(before), permissions)
        )

    async def deactivate(self, member: StaffMember) -> StaffMember:
        """Deactivate a member: their permissions do not apply. Raises IsAdmin, and as
        `change_role`."""
        return await self.change_role(
            member, lambda before: replace(_no_admin(before), active=False)
        )

    def _check_privilege(self, shop_role: ShopRole) -> None:
        if not within(shop_role, self.keys):
            raise PrivilegeExceeded

    async def _check_email(self, email: str | None, except_account: AccountId | None) -> None:
        """Raise EmailTaken by the read model. The address is no login: a race is acceptable."""
        if email is None:
            return
        for member in await staff_of(self.identity, self.tenant):
            taken = (member.card.email or "").lower() == email.lower()
            if taken and member.account_id != except_account:
                raise EmailTaken

    async def _open(self, phone: str) -> AccountId:
        """Open an account with the phone only, and without a role; its id."""
        person, actor = Person(phone=phone), str(self.account_id)
        try:
            opened = await open_account(self.identity, person, password=None, roles=(), actor=actor)
        except AddressTaken as taken:
            # A concurrent request opened an account with the phone.
            return taken.account_id
        return opened.account_id

    async def _invite(
        self,
        account_id: AccountId,
        invitation: Invitation,
        shop_role: ShopRole,
        *,
        again: bool = False,
    ) -> None:
        actor = str(self.account_id)
        await invite(
            self.identity, account_id, self.tenant, invitation, shop_role, actor=actor, again=again
        )

    async def _reinvite(
        self,
        member: StaffMember,
        shop_role: Callable[[ShopRole], ShopRole],
        card: Callable[[Card], Card],
    ) -> StaffMember:
        """Change a pending invitation. Raises NotStaff if it was answered meanwhile."""
        after = shop_role(member.shop_role)
        self._check_privilege(member.shop_role)
        self._check_privilege(after)
        invitation = Invitation(phone=member.phone or "", card=card(member.card))
        try:
            await self._invite(member.account_id, invitation, after, again=True)
        except OfferUnknown:
            raise NotStaff from None
        return await self._load(member.account_id)

    async def _grant(self, account_id: AccountId, role: Role) -> None:
        async def plan(account: Account) -> Plan:
            if role.workspace not in account.roles:
                # Only members have a role to change.
                raise NotStaff
            now = self.identity.clock()
            return GrantRole(account_id=account_id, role=role, others={}, now=now), ()

        await execute_with_facts(self.identity, account_id, plan, actor=str(self.account_id))

    async def _load(self, account_id: AccountId) -> StaffMember:
        return await member_of(self.identity, account_id, self.tenant)


def _no_admin(shop_role: ShopRole) -> ShopRole:
    if shop_role.role == ADMIN:
        raise IsAdmin
    return shop_role
