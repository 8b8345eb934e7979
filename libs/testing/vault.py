"""A vault in memory, for tests that need no database. It keeps the contract of the real one."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from libs.postgres.vault_keys import StoredKey
from libs.security.data_keys import ServiceKeys, Subject, Tombstone
from libs.security.sealing import generate_key
from libs.security.vault import Vault


class MemoryKeys:
    """The `KeyStore` in memory. There are no read models, so nothing is erased."""

    def __init__(self) -> None:
        self._keys: dict[Subject, bytes] = {}
        self._tombstones: dict[Subject, Tombstone] = {}

    async def read(self, subjects: Collection[Subject]) -> Mapping[Subject, StoredKey]:
        live = {one: StoredKey(self._keys[one]) for one in subjects if one in self._keys}
        dead = [self._tombstones[one] for one in subjects if one in self._tombstones]
        return live | {one.subject: StoredKey(None, one.at) for one in dead}

    async def add(self, keys: Mapping[Subject, bytes]) -> Collection[Subject]:
        new = keys.keys() - self._tombstones.keys() - self._keys.keys()
        self._keys |= {subject: keys[subject] for subject in new}
        return new

    async def forget(self, tombstones: Sequence[Tombstone]) -> Sequence[Tombstone]:
        for one in sorted(tombstones, key=lambda one: one.at):
            self._keys.pop(one.subject, None)
            self._tombstones.setdefault(one.subject, one)
        return [self._tombstones[subject] for subject in {one.subject for one in tombstones}]

    async def forgotten_since(self, since: datetime) -> Sequence[Tombstone]:
        known = [one for one in self._tombstones.values() if one.at >= since]
        return sorted(known, key=lambda one: (one.at, one.subject.tenant, one.subject.id))

    async def page(self, after: Subject | None, limit: int) -> Mapping[Subject, bytes]:
        last = (after.tenant, after.id) if after else ("", "")
        order = sorted(self._keys, key=lambda one: (one.tenant, one.id))
        later = [one for one in order if (one.tenant, one.id) > last]
        return {one: self._keys[one] for one in later[:limit]}

    async def replace(self, keys: Mapping[Subject, tuple[bytes, bytes]]) -> None:
        for subject, (old, new) in keys.items():
            if self._keys.get(subject) == old:
                self._keys[subject] = new


def memory_vault(*service_keys: str) -> Vault:
    """A vault in memory, by default with a new service key."""
    return Vault(MemoryKeys(), ServiceKeys(service_keys or [generate_key()]))
