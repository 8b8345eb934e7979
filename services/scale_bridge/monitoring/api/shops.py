"""Shops, the groups in them, and the scales in those (SCL-1)."""

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.scale_bridge.context import Reader
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.monitoring.api.live import Live, Scale

router = APIRouter(tags=["shops"])


class Placed(BaseModel):
    """A scale, and in a word how it stands (see the board)."""

    id: int
    name: str
    state: str


class Group(BaseModel):
    """A group of scales; without a name, those nobody put into one."""

    group: str
    scales: list[Placed]


class Shop(BaseModel):
    """A shop; without a name, that of scales nobody placed."""

    shop: str
    groups: list[Group]


@router.get("/shops")
async def shops(request: Request, caller: Reader) -> list[Shop]:
    """The caller's shops, groups and scales, by name and number; those without a name last."""
    live: Live = request.app.state.live
    found = await live.get((caller.tenant, owner_of(caller.subject)), within=0)
    tree: dict[str, dict[str, list[Scale]]] = {}
    for scale in sorted(found.values(), key=_place):
        tree.setdefault(scale.shop, {}).setdefault(scale.group, []).append(scale)
    return [
        Shop(shop=shop, groups=[_group(name, scales) for name, scales in groups.items()])
        for shop, groups in tree.items()
    ]


def _place(scale: Scale) -> tuple[bool, str, bool, str, int]:
    return not scale.shop, scale.shop, not scale.group, scale.group, scale.id


def _group(name: str, scales: list[Scale]) -> Group:
    placed = [Placed(id=scale.id, name=scale.name, state=scale.state) for scale in scales]
    return Group(group=name, scales=placed)
