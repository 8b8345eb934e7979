"""What a simulated scale is, holds in memory, and does when its power fails (§6)."""

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from services.scale_bridge.driver.adapters.wire import CHUNK_BYTES
from services.scale_bridge.driver.simulator.faults import Faults
from services.scale_bridge.driver.simulator.products import ProductBase
from services.scale_bridge.driver.simulator.upload import SizeOrder, Upload

DEFAULT_PASSWORD: Final = "1234"  # noqa: S105 -- the vendor's, known to everybody


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a scale is when nothing is wrong with it. What no one knows of real ones is here too.

    `creating` and `checking` are how often it says "still working"; `state` whether exports and
    uploads survive a reconnect; `connections` how many it serves at once; `seconds` how long it
    takes for each answer; `derives` whether it computes `shelfLifeInDays` itself.
    """

    password: str = DEFAULT_PASSWORD
    creating: int = 0
    checking: int = 0
    chunk_bytes: int = CHUNK_BYTES
    state: Literal["scale", "connection"] = "scale"
    connections: int | None = None
    seconds: float = 0.0
    derives: bool = False
    merge_by: tuple[str, ...] = ("id", "code")
    model: str = "M-ER 725 PM-15.2"
    serial: str = "SIM-0001"


@dataclass(slots=True)
class Memory:
    """What the power takes away: the exported file with its cursor, the file coming in."""

    file: bytes | None = None
    polls: int | None = 0
    cursor: int = 0
    sent: int = 0
    upload: Upload | None = None


@dataclass(slots=True)
class Scale:
    """One scale. `size_orders` are the byte orders in which uploads announced their size.

    `unconfirmed` is the last import and the base before it, until a check was told how it went.
    """

    options: Options
    base: ProductBase
    faults: Faults
    size_orders: list[SizeOrder] = field(default_factory=list)
    unconfirmed: tuple[dict[str, Any], Upload] | None = None

    def power_cut(self) -> None:
        """The power fails. An unconfirmed import is undone, or half done if `torn`."""
        if self.unconfirmed is None:
            return
        before, upload = self.unconfirmed
        self.unconfirmed = None
        if self.faults.bite("torn"):
            new = json.loads(upload.file() or b"{}")
            half = {**new, "products": new["products"][: len(new["products"]) // 2]}
            before = self.base.imported(half, into=before, clear=upload.clear)
        self.base.replace_document(before)
