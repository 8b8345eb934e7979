"""A shop's cards of its staff, and its invitations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from contracts.gateway import GatewayEvent, ShopRegistered
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import Realm, Workspace
from services.gateway.accounts.domain.shop_role import ShopRole, parse_shop_role, rank

CITY: Final = "Алматы"
FOUNDER: Final = "Администратор"
"""The name of the member who registers a shop, until it is changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A shop's data about a member. It is not verified and does not identify the account.

    So a shop cannot change the identity of an account that works in other shops too.
    """

    name: str
    email: str | None = None
    telegram_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Invitation:
    """The data of an invited person; the shop found the account by `phone` (E.164)."""

    phone: str
    card: Card


def shop_registered(event: GatewayEvent) -> ShopRegistered:
    """The event as `ShopRegistered`. Raises TypeError for another one."""
    if not isinstance(event, ShopRegistered):
        raise TypeError("an id of a shop was given to something else")
    return event


def workspaces_of_staff(
    roles: Mapping[Workspace, str], role: str | None = None
) -> tuple[tuple[Workspace, ShopRole], ...]:
    """The workspaces of active roles in shops (of `role`, if given), the highest role first."""
    matching = [
        (workspace, shop_role)
        for workspace, name in roles.items()
        if workspace.realm == Realm.SHOP
        and (shop_role := parse_shop_role(name)) is not None
        and shop_role.active
        and role in (None, shop_role.role)
    ]
    return tuple(sorted(matching, key=lambda one: (rank(one[1]), one[0].tenant)))


def workspace_to_enter(
    workspaces: Sequence[Workspace], owned: Collection[str], used: Mapping[str, datetime]
) -> Workspace | None:
    """The workspace of a login: the `owned` one, else the last `used`, else the first.

    `owned` and `used` are by tenant.
    """
    if owned_workspaces := [workspace for workspace in workspaces if workspace.tenant in owned]:
        return owned_workspaces[0]
    latest = max(
        (used[workspace.tenant] for workspace in workspaces if workspace.tenant in used),
        default=None,
    )
    return next(
        (
            workspace
            for workspace in workspaces
            if latest is None or used.get(workspace.tenant) == latest
        ),
        None,
    )


def card_of(person: Person, tenant: str) -> Card:
    """The shop's card of a person; without one, a card from the personal data."""
    traits = person.traits
    if _trait(tenant, "name") not in traits:
        return Card(name=person.name, email=person.email, telegram_id=person.telegram_id)
    telegram = traits.get(_trait(tenant, "telegram"))
    return Card(
        name=traits[_trait(tenant, "name")],
        email=traits.get(_trait(tenant, "email")),
        telegram_id=int(telegram) if telegram else None,
    )


def with_card(person: Person, tenant: str, card: Card) -> Person:
    """The person with a new card of this shop."""
    fields = {
        "name": card.name,
        "email": card.email,
        "telegram": str(card.telegram_id) if card.telegram_id else None,
    }
    owned_workspaces = {_trait(tenant, what): value for what, value in fields.items()}
    others = {name: value for name, value in person.traits.items() if name not in owned_workspaces}
    present = {name: value for name, value in owned_workspaces.items() if value is not None}
    return replace(person, traits=others | present)


def _trait(tenant: str, what: str) -> str:
    return f"shop {tenant} {what}"
