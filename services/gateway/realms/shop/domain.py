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
"""What whoever registers a shop is called, until somebody says otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What one shop calls somebody, and knows of them. Nobody is found by it, nor proved.

    So a shop cannot say who somebody is who works elsewhere, too.
    """

    name: str
    email: str | None = None
    telegram_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Invitation:
    """What a shop wrote of somebody it invites; `phone` (E.164) is how it found them."""

    phone: str
    card: Card


def registered(event: GatewayEvent) -> ShopRegistered:
    """The event, which must be of a shop."""
    if not isinstance(event, ShopRegistered):
        raise TypeError("an id of a shop was given to something else")
    return event


def workspaces_of_staff(
    roles: Mapping[Workspace, str], role: str | None = None
) -> tuple[tuple[Workspace, ShopRole], ...]:
    """Where somebody works, as `role` if it is given, first where they may do the most."""
    found = [
        (workspace, shop_role)
        for workspace, name in roles.items()
        if workspace.realm == Realm.SHOP
        and (shop_role := parse_shop_role(name)) is not None
        and shop_role.active
        and role in (None, shop_role.role)
    ]
    return tuple(sorted(found, key=lambda one: (rank(one[1]), one[0].tenant)))


def workspace_to_enter(
    workspaces: Sequence[Workspace], owned: Collection[str], used: Mapping[str, datetime]
) -> Workspace | None:
    """Which of several `places` a login leads to: the shop that is `owned`, else the one `used`
    last, else the first; both by tenant."""
    if mine := [workspace for workspace in workspaces if workspace.tenant in owned]:
        return mine[0]
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
    """What the shop calls them; of whom it did not say, what they are called anyhow."""
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
    """The person with another card of this shop."""
    said = {
        "name": card.name,
        "email": card.email,
        "telegram": str(card.telegram_id) if card.telegram_id else None,
    }
    mine = {_trait(tenant, what): value for what, value in said.items()}
    others = {name: value for name, value in person.traits.items() if name not in mine}
    kept = {name: value for name, value in mine.items() if value is not None}
    return replace(person, traits=others | kept)


def _trait(tenant: str, what: str) -> str:
    return f"shop {tenant} {what}"
