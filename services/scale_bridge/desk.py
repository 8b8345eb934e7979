"""What the commands about scales work with."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary
from zoneinfo import ZoneInfo

from contracts.scale_bridge import DeviceId, ScaleBridgeEvent
from libs.clock import Clock
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import Pool
from libs.security.sealing import Seal
from services.scale_bridge.barcodes.domain import Rules
from services.scale_bridge.catalogue.domain.copy_history import Copy
from services.scale_bridge.driver.domain.address import Policy
from services.scale_bridge.driver.domain.catalogue import products
from services.scale_bridge.operations.stores.work import Work
from services.scale_bridge.transfer.stores.breakers import Breakers

MOST_ITEMS: Final = 25_000
"""How many products are remembered altogether, some forty megabytes of them."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A catalogue as the log has it. `unkept` are the events since a copy of it was kept."""

    copy: Copy
    version: int
    unkept: int = 0


class Remembered:
    """The catalogues that were used last, and whose turn it is to change each.

    What is remembered may be old; the log says what came since.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, DeviceId], Loaded] = OrderedDict()
        self._items = 0
        self._turns: WeakValueDictionary[tuple[str, DeviceId], asyncio.Lock] = WeakValueDictionary()

    def turn(self, tenant: str, device_id: DeviceId) -> asyncio.Lock:
        """Taken by those of this process who change the catalogue: they need not race."""
        lock = self._turns.get((tenant, device_id))
        if lock is None:
            lock = self._turns[tenant, device_id] = asyncio.Lock()
        return lock

    def get(self, tenant: str, device_id: DeviceId) -> Loaded | None:
        """The last one known."""
        found = self._known.get((tenant, device_id))
        if found is not None:
            self._known.move_to_end((tenant, device_id))
        return found

    def keep(self, tenant: str, device_id: DeviceId, loaded: Loaded) -> None:
        """Remember it, unless a later one is known."""
        key = tenant, device_id
        known = self._known.pop(key, None)
        if known is not None:
            self._items -= _size(known)
            if known.version > loaded.version:
                loaded = known
        self._known[key] = loaded
        self._items += _size(loaded)
        while self._items > MOST_ITEMS and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._items -= _size(oldest)


def _size(loaded: Loaded) -> int:
    document = loaded.copy.document
    return 1 + (len(products(document)) if document is not None else 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """`pool` is in system scope. `revisions` are kept, operations last `operation_seconds`.

    `rules` are how labels are read, by tenant and owner, and at which version: that may be old.
    """

    store: EventStore[ScaleBridgeEvent]
    pool: Pool
    seal: Seal
    policy: Policy
    work: Work
    breakers: Breakers
    zone: ZoneInfo
    clock: Clock
    operation_seconds: float = 120.0
    clear_on_upload: bool = False
    diagnose: bool = False
    diagnose_auto: bool = False
    remembered: Remembered = field(default_factory=Remembered)
    rules: dict[str, tuple[Rules, int]] = field(default_factory=dict)
