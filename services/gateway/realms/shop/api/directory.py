"""The internal route by which the shop's service knows a shop and its staff by name.

Names and phones are personal: they are asked for here, and are in no event of the shop. Only
networks that may read the metrics reach it: see `proxy.api.door.InternalOnly`.
"""

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from libs.http.auth import public
from services.gateway.context import Gateway
from services.gateway.realms.shop.api.current_user import shop_and_founder
from services.gateway.realms.shop.handlers.staff import StaffMember, staff_of

router = APIRouter(
    prefix="/internal/shops",
    tags=["system"],
    dependencies=[Depends(public)],
    include_in_schema=False,
)


class DirectoryMember(BaseModel):
    """A member of a shop. `number` is the member's id for clients."""

    account_id: str
    number: int
    name: str
    phone: str | None
    role: str
    active: bool


class Directory(BaseModel):
    """A shop and its members, without the invited ones."""

    name: str
    city: str
    phone: str | None
    staff: list[DirectoryMember]


@router.get("/{tenant}")
async def directory(gateway: Gateway, tenant: str) -> Directory | None:
    """The shop that is this tenant, and its staff; null if none was registered."""
    shop, founder = await shop_and_founder(gateway, tenant)
    if shop is None:
        return None
    members = await staff_of(gateway.identity, tenant)
    return Directory(
        name=shop.name,
        city=shop.city,
        phone=founder.phone if founder else None,
        staff=[_member(one) for one in members if not one.invited],
    )


def _member(member: StaffMember) -> DirectoryMember:
    return DirectoryMember(
        account_id=str(member.account_id),
        number=member.number,
        name=member.card.name,
        phone=member.phone,
        role=member.shop_role.role,
        active=member.active,
    )
