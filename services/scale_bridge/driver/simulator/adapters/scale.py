"""A simulated scale: its options, its memory, and what a power cut does to them (§6)."""

import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from services.scale_bridge.driver.domain.wire import CHUNK_BYTES
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.domain.faults import Faults
from services.scale_bridge.driver.simulator.domain.upload import SizeOrder, Upload

DEFAULT_PASSWORD: Final = "1234"  # noqa: S105 -- the vendor's, known to everybody


_Count: TypeAlias = Annotated[int, Meta(ge=0)]


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The behaviour of a scale without faults, where the specification leaves it open.

    `creating` and `checking` are how many polls answer "still working"; `state` is whether exports
    and uploads survive a reconnect; `connections` how many are served at once; `seconds` the delay
    of each reply; `derives` whether the scale computes `shelfLifeInDays` itself.
    """

    password: Annotated[str, Meta(pattern=r"^[\x00-\x7f]{4}\Z")] = DEFAULT_PASSWORD
    creating: _Count = 0
    checking: _Count = 0
    chunk_bytes: Annotated[int, Meta(ge=1, le=CHUNK_BYTES)] = CHUNK_BYTES
    state: Literal["scale", "connection"] = "scale"
    connections: Annotated[int, Meta(ge=1)] | None = None
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    derives: bool = False
    merge_by: tuple[str, ...] = ("id", "code")
    model: str = "M-ER 725 PM-15.2"
    serial: str = "SIM-0001"


@dataclass(slots=True)
class Memory:
    """What a power cut erases: the exported file with its cursor, and the upload."""

    file: bytes | None = None
    polls: int | None = 0
    cursor: int = 0
    sent: int = 0
    upload: Upload | None = None


@dataclass(slots=True)
class Scale:
    """One scale. `size_orders` are the byte orders in which uploads announced their size.

    `unconfirmed` is the last import and the base before it, until a check has returned its status.
    """

    options: Options
    base: ProductBase
    faults: Faults
    size_orders: list[SizeOrder] = field(default_factory=list)
    unconfirmed: tuple[dict[str, Any], Upload] | None = None

    def power_cut(self) -> None:
        """Undo an unconfirmed import; with the fault `torn`, leave it half done."""
        if self.unconfirmed is None:
            return
        before, upload = self.unconfirmed
        self.unconfirmed = None
        if self.faults.trigger("torn"):
            new = json.loads(upload.file() or b"{}")
            half = {**new, "products": new["products"][: len(new["products"]) // 2]}
            before = self.base.imported(half, into=before, clear=upload.clear)
        self.base.replace_document(before)
