"""Invitations to a shop: invite, accept, decline, leave.

An invitation does not change the account: it keeps its memberships until it accepts. An account
without any shop accepts by its first login, since the clients of that login cannot ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.gateway import AccountId, ShopRegistered
from services.gateway.accounts.domain.account import (
    MOST_OFFERS,
    Account,
    ActsThere,
    Offer,
    OfferUnknown,
)
from services.gateway.accounts.domain.commands import (
    AcceptOffer,
    DeclineOffer,
    OfferRole,
    WithdrawRole,
)
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from services.gateway.accounts.domain.shop import oldest_offer, workspace_of_shop
from services.gateway.accounts.domain.shop_role import ADMIN, ShopRole, parse_shop_role
from services.gateway.accounts.handlers.execution import Plan, execute_with_facts
from services.gateway.accounts.handlers.identity import (
    ACCOUNT_NUMBERS,
    Identity,
    Loaded,
    load,
    person_of,
    seal_person,
)
from services.gateway.administration.handlers.administration import has_another
from services.gateway.realms.shop.domain import (
    Invitation,
    with_card,
    workspace_to_enter,
    workspaces_of_staff,
)
from services.gateway.realms.shop.handlers.shop import owned_shops, shops_of
from services.gateway.realms.shop.handlers.staff import (
    LastAdmin,
    NotStaff,
    open_invitation,
    seal_invitation,
)
from services.gateway.sessions.handlers.session import revoke_all
from services.gateway.sessions.read_models import last_used


@dataclass(frozen=True, kw_only=True, slots=True)
class Membership:
    """A shop in which an account works or is invited.

    `shop` is None for a tenant that was not registered; `owned` if the account registered it.
    """

    tenant: str
    shop: ShopRegistered | None
    shop_role: ShopRole
    owned: bool
    invited: bool


async def invite(
    identity: Identity,
    account_id: AccountId,
    tenant: str,
    invitation: Invitation,
    shop_role: ShopRole,
    *,
    actor: str,
    again: bool = False,
) -> None:
    """Invite an account to a shop, or change a pending invitation (`again`).

    Raises ActsThere for a member or a pending invitation, with `again` OfferUnknown if it was
    answered; OfferedTooOften, AccountUnknown, Unavailable.
    """
    workspace = workspace_of_shop(tenant)

    async def plan(account: Account) -> Plan:
        offer = account.offers.get(workspace)
        if (offer is not None) != again:
            raise OfferUnknown if again else ActsThere
        if offer is not None:
            before = open_invitation(identity, account_id, tenant, offer.sealed), offer.role
            if before == (invitation, shop_role.name):
                return None, ()
            if not shop_role.active and account.offer_counts.get(workspace, 0) >= MOST_OFFERS:
                # Withdrawing is possible beyond the limit of offers.
                now = identity.clock()
                return DeclineOffer(account_id=account_id, workspace=workspace, now=now), ()
        command = OfferRole(
            account_id=account_id,
            role=Role(workspace, shop_role.name),
            number=await ACCOUNT_NUMBERS.next(identity.pool),
            sealed=seal_invitation(identity, account_id, tenant, invitation),
            now=identity.clock(),
        )
        return command, ()

    await execute_with_facts(identity, account_id, plan, actor=actor)


async def accept(identity: Identity, account_id: AccountId, tenant: str) -> None:
    """Accept an invitation; the account gets the role and the shop's card.

    Raises OfferUnknown, also for an inactive offer; AccountUnknown, Unavailable.
    """
    workspace = workspace_of_shop(tenant)

    async def plan(account: Account) -> Plan:
        person = person_of(identity, account_id, account)
        if (offer := account.offers.get(workspace)) is None or not _is_open(offer):
            raise OfferUnknown
        card = open_invitation(identity, account_id, tenant, offer.sealed).card
        sealed = seal_person(identity.seal, account_id, with_card(person, tenant, card))
        now = identity.clock()
        return AcceptOffer(account_id=account_id, workspace=workspace, person=sealed, now=now), ()

    await execute_with_facts(identity, account_id, plan, actor=str(account_id))


async def leave(identity: Identity, account_id: AccountId, tenant: str) -> None:
    """Leave a shop, whose sessions end, or decline its invitation.

    Raises NotStaff without either, LastAdmin, Unavailable.
    """
    workspace, actor = workspace_of_shop(tenant), str(account_id)

    async def plan(account: Account) -> Plan:
        now = identity.clock()
        if workspace in account.roles:
            return WithdrawRole(account_id=account_id, workspace=workspace, others={}, now=now), ()
        return DeclineOffer(account_id=account_id, workspace=workspace, now=now), ()

    async with identity.locks.hold(f"staff of {tenant}"):
        account = (await load(identity, account_id)).account
        if workspace not in account.roles and workspace not in account.offers:
            raise NotStaff
        admin = Role(workspace, ADMIN)
        is_admin = account.roles.get(workspace) == ADMIN
        if is_admin and not await has_another(identity, account_id, admin):
            raise LastAdmin
        await execute_with_facts(identity, account_id, plan, actor=actor)
    await revoke_all(identity, account_id, reason="revoked", actor=actor, workspace=workspace)


async def memberships(identity: Identity, account_id: AccountId) -> Sequence[Membership]:
    """The shops in which the account works, then its invitations. Raises LogUnavailable."""
    account = (await load(identity, account_id)).account
    offers = {
        workspace: offer.role for workspace, offer in account.offers.items() if _is_open(offer)
    }
    memberships_found = [
        (workspace.tenant, shop_role, roles is offers)
        for roles in (account.roles, offers)
        for workspace, shop_role in workspaces_of_staff(roles)
    ]
    shops = await shops_of(identity, [tenant for tenant, *_ in memberships_found])
    return [
        Membership(
            tenant=tenant,
            shop=(shop := shops.get(tenant)),
            shop_role=shop_role,
            owned=not invited and shop is not None and shop.account_id == account_id,
            invited=invited,
        )
        for tenant, shop_role, invited in memberships_found
    ]


async def login_workspace(
    identity: Identity, loaded: Loaded, role: str | None = None
) -> Workspace | None:
    """The workspace of a login (as `role`): an own shop, else the last used one; None without any.

    Accepting an invitation counts as use. Raises Unavailable.
    """
    account, account_id = loaded.account, loaded.account_id
    workspaces = [workspace for workspace, _ in workspaces_of_staff(account.roles, role)]
    if len(workspaces) < 2:
        return workspaces[0] if workspaces else None
    owned = await owned_shops(identity, account_id, account)
    entered = await last_used(identity.pool, account_id, Realm.SHOP)
    joined = {
        workspace.tenant: at for workspace, at in account.joined.items() if workspace in workspaces
    }
    used = {at: max(joined[at], entered.get(at, joined[at])) for at in joined}
    return workspace_to_enter(workspaces, owned, used)


def first_shop(account: Account, role: str | None = None) -> Workspace | None:
    """The shop whose invitation a login accepts: the oldest, if the account has no role in a shop.

    An inactive role counts too: then the account must accept explicitly.
    """
    if any(workspace.realm == Realm.SHOP for workspace in account.roles):
        return None
    return oldest_offer(account.offers, role)


def _is_open(offer: Offer) -> bool:
    shop_role = parse_shop_role(offer.role)
    return shop_role is not None and shop_role.active
