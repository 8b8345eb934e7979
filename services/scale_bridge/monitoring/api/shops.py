"""HTTP of shops: the tree of shops, groups and scales (SCL-1)."""

from fastapi import APIRouter
from pydantic import BaseModel

from services.scale_bridge.context import Reader, Scales
from services.scale_bridge.monitoring.api.board import LiveBoard, Scale

router = APIRouter(tags=["shops"])


class Placed(BaseModel):
    """A scale and its status, as on the board."""

    id: int
    name: str
    state: str


class Group(BaseModel):
    """A group of scales; the one without a name has the scales without a group."""

    group: str
    scales: list[Placed]


class Shop(BaseModel):
    """A shop; the one without a name has the scales without a shop."""

    shop: str
    groups: list[Group]


@router.get("/shops")
async def shops(scales: Scales, caller: Reader) -> list[Shop]:
    """The caller's shops, groups and scales, by name and number; those without a name last."""
    board = await LiveBoard(scales, caller).read()
    tree: dict[str, dict[str, list[Scale]]] = {}
    for scale in sorted(board.values(), key=_position):
        tree.setdefault(scale.shop, {}).setdefault(scale.group, []).append(scale)
    return [
        Shop(shop=shop, groups=[_group(name, members) for name, members in groups.items()])
        for shop, groups in tree.items()
    ]


def _position(scale: Scale) -> tuple[bool, str, bool, str, int]:
    return not scale.shop, scale.shop, not scale.group, scale.group, scale.id


def _group(name: str, scales: list[Scale]) -> Group:
    placed = [Placed(id=scale.id, name=scale.name, state=scale.state) for scale in scales]
    return Group(group=name, scales=placed)
