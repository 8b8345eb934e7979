"""The most recently used catalogues, in memory."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from contracts.scale_bridge import DeviceId
from services.scale_bridge.catalogue.domain.catalogue import Catalogue
from services.scale_bridge.driver.domain.document import products

MOST_ITEMS: Final = 25_000
"""The most products that are cached, about forty megabytes."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A catalogue, its stream's version, and the number of events since its last snapshot."""

    catalogue: Catalogue
    version: int
    since_snapshot: int = 0


class CatalogueCache:
    """An LRU cache of catalogues, and a lock for each. An entry may be older than the log."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, DeviceId], Loaded] = OrderedDict()
        self._items = 0
        self._locks: WeakValueDictionary[tuple[str, DeviceId], asyncio.Lock] = WeakValueDictionary()

    def lock(self, tenant: str, device_id: DeviceId) -> asyncio.Lock:
        """The lock that serialises the changes of one catalogue in this process."""
        lock = self._locks.get((tenant, device_id))
        if lock is None:
            lock = self._locks[tenant, device_id] = asyncio.Lock()
        return lock

    def get(self, tenant: str, device_id: DeviceId) -> Loaded | None:
        """The cached catalogue, None if there is none."""
        loaded = self._known.get((tenant, device_id))
        if loaded is not None:
            self._known.move_to_end((tenant, device_id))
        return loaded

    def put(self, tenant: str, device_id: DeviceId, loaded: Loaded) -> None:
        """Cache a catalogue, unless a later version is cached."""
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
    document = loaded.catalogue.document
    return 1 + (len(products(document)) if document is not None else 0)
