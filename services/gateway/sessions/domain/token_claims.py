"""The claims of an access token for the clients of its door.

See spec scale-bridge §1.2, crm §10, shop §2.3, kiosk §2.1. `sub` is what the door's clients expect,
which may differ from the account's id.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import KIOSK_ITSELF, Realm, Workspace
from services.gateway.accounts.domain.shop import number_of
from services.gateway.accounts.domain.shop_role import parse_shop_role

Claims: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bearer:
    """The bearer of a token. `number` is the account's; `device` the name of a kiosk.

    `tells_role` adds the role and its permissions, for clients of the shop that read them.
    """

    workspace: Workspace
    role: str
    number: int
    person: Person
    scopes: Collection[str]
    device: str | None = None
    tells_role: bool = False


def claims_of(bearer: Bearer) -> Claims:
    """The claims for the door's clients, in addition to those of all tokens."""
    match bearer.workspace.realm:
        case Realm.SCALES:
            return {"sub": str(bearer.number)}
        case Realm.CRM:
            claims = {"email": bearer.person.email, "role": bearer.role, "type": "access"}
            return {**claims, "scopes": sorted(bearer.scopes)}
        case Realm.SHOP:
            return _of_shop(bearer)
        case Realm.KIOSK:
            return _of_kiosk(bearer)
        case _:
            return {}


def _of_shop(bearer: Bearer) -> Claims:
    claims: dict[str, object] = {
        "sub": str(number_of(bearer.workspace.tenant) or ""),
        "phone": bearer.person.phone,
        "user_id": str(bearer.number),
    }
    if bearer.person.telegram_id is not None:
        claims["telegram_id"] = bearer.person.telegram_id
    shop_role = parse_shop_role(bearer.role)
    if bearer.tells_role and shop_role is not None:
        claims |= {"user_role": shop_role.role, "permissions": dict(shop_role.permissions)}
    return claims


def _of_kiosk(bearer: Bearer) -> Claims:
    claims: dict[str, object] = {
        "user_id": bearer.number,
        "username": bearer.person.username or bearer.person.email or "",
        "role_name": bearer.role,
        "type": "access_token",
    }
    if bearer.role == KIOSK_ITSELF:
        claims |= {"device_id": bearer.device or None, "type": "kiosk_access_token"}
    return claims
