"""The vault: what names a person is encrypted with a key of that person, which can be destroyed.

Handlers seal before they append, projections open what they write into columns declared personal,
and queries open what they show. `forget` destroys the key: from then on every sealed text of the
person opens as `Erased`, also in a rebuild.

Opened keys are cached in each process. `forget` notifies all processes in its own transaction, and
they drop their caches within milliseconds. A notification may be lost only together with the
connection it comes through; then a cached key is used for `CACHE_SECONDS` at most, and while the
process knows that it does not hear notifications it uses no cached key at all. Projections never
use the cache: see `VaultReader`.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final, Protocol

from pydantic import Field
from sqlalchemy import Table

from contracts.envelope import Sealed
from libs.postgres import vault_keys
from libs.postgres.doorbell import FORGOTTEN, Doorbell
from libs.postgres.pool import Connection, Pool
from libs.postgres.vault_keys import StoredKey, VaultKeys
from libs.security.data_keys import (
    DataKey,
    MaybeErased,
    Receipt,
    ServiceKeys,
    Subject,
    Tombstone,
)
from libs.security.sealing import SealBroken, SealSettings

CACHE_SIZE: Final = 4096
CACHE_SECONDS: Final = 5.0
REWRAP_AT_ONCE: Final = 500


class KeyStore(Protocol):
    """Where wrapped data keys are stored; `libs.postgres.vault_keys.VaultKeys` in Postgres."""

    async def read(self, subjects: Collection[Subject]) -> Mapping[Subject, StoredKey]:
        """The keys and tombstones of these persons that exist."""
        ...

    async def add(self, keys: Mapping[Subject, bytes]) -> Collection[Subject]:
        """Store wrapped keys of persons who have neither key nor tombstone, and return these
        persons; leave the others."""
        ...

    async def forget(self, tombstones: Sequence[Tombstone]) -> Sequence[Tombstone]:
        """Replace keys by tombstones, all or nothing; an existing tombstone stays.

        Returns the tombstones in force, one for each person.
        """
        ...

    async def forgotten_since(self, since: datetime) -> Sequence[Tombstone]:
        """The tombstones from `since` on, in the order of their times."""
        ...

    async def page(self, after: Subject | None, limit: int) -> Mapping[Subject, bytes]:
        """Wrapped keys in the order of tenant and id, after a person."""
        ...

    async def replace(self, keys: Mapping[Subject, tuple[bytes, bytes]]) -> None:
        """Replace each first wrapped key, if it is still stored, by the second one."""
        ...


@dataclass(frozen=True, slots=True)
class VaultReader:
    """Opens sealed texts on a projection's own connection, inside its transaction.

    The keys are locked against `forget` until that transaction ends: `forget` waits for it, and
    then erases what it wrote. The connection must see all tenants of the page.
    """

    keys: ServiceKeys

    async def keys_of(
        self, connection: Connection, subjects: Iterable[Subject]
    ) -> Mapping[Subject, DataKey]:
        """The keys of all these persons, in one query. A person without one has a key that opens
        nothing.
        """
        wanted = {*subjects}
        stored = await vault_keys.read_locked(connection, wanted) if wanted else {}
        return {one: _data_key(self.keys, one, stored.get(one)) for one in wanted}

    async def open_many(
        self, connection: Connection, pairs: Iterable[tuple[Subject, str | None]]
    ) -> list[MaybeErased | None]:
        """The texts in their order, None for None. Raises `SealBroken`."""
        pairs = [*pairs]
        keys = await self.keys_of(connection, (subject for subject, _ in pairs))
        return [keys[subject].open(sealed) for subject, sealed in pairs]


class VaultSettings(SealSettings):
    """The settings of a service with a vault, whose data keys `seal_keys` wrap.

    Before the last of `seal_keys` is dropped, `vault rewrap` must have run. Once in the hour
    `purge_hour` of UTC, 0 to 23, the worker purges what was forgotten.
    """

    purge_hour: int = Field(default=21, ge=0, le=23)

    def vault_reader(self) -> VaultReader:
        """What projections open sealed texts with."""
        return VaultReader(ServiceKeys(self.sealing_keys))


class Vault:
    """Seals and opens texts about persons, and forgets persons. All methods raise Unavailable."""

    def __init__(
        self,
        store: KeyStore,
        keys: ServiceKeys,
        *,
        doorbell: Doorbell | None = None,
        cache_size: int = CACHE_SIZE,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Without a `doorbell` nothing is cached. See also `open_vault`."""
        self._store = store
        self._keys = keys
        self._cache = _Cache(doorbell, cache_size, clock)

    def close(self) -> None:
        """Drop the cache and hear no more notifications. Safe to repeat."""
        self._cache.close()

    async def key_for(self, subject: Subject, *, is_new: bool = False) -> DataKey:
        """The person's key, created if there is none. Of concurrent callers all get the same."""
        return (await self.keys_for([subject], are_new=is_new))[subject]

    async def keys_for(
        self, subjects: Iterable[Subject], *, are_new: bool = False
    ) -> Mapping[Subject, DataKey]:
        """The keys of these persons; those that do not exist are created.

        `are_new` saves a query if probably none exists.
        """
        wanted = {*subjects}
        keys = {} if are_new else await self._load(wanted)
        if missing := wanted - keys.keys():
            keys |= await self._create(missing)
            keys |= await self._load(wanted - keys.keys())
        return keys

    async def keys_of(self, subjects: Iterable[Subject]) -> Mapping[Subject, DataKey]:
        """The keys of these persons; a person without one has a key that opens nothing."""
        wanted = {*subjects}
        keys = await self._load(wanted)
        return keys | {one: DataKey(one, None) for one in wanted - keys.keys()}

    async def seal(self, subject: Subject, text: str, *, is_new: bool = False) -> Sealed:
        """Encrypt a text about a person. See `keys_for`. Raises Forgotten."""
        return (await self.key_for(subject, is_new=is_new)).seal(text)

    async def seal_many(self, pairs: Iterable[tuple[Subject, str]]) -> list[Sealed]:
        """The sealed texts in their order. Raises Forgotten if one of the persons is."""
        pairs = [*pairs]
        keys = await self.keys_for(subject for subject, _ in pairs)
        return [keys[subject].seal(text) for subject, text in pairs]

    async def open(self, subject: Subject, sealed: str) -> MaybeErased:
        """The sealed text, or Erased. Raises `SealBroken` if it was changed or is not theirs."""
        return (await self.keys_of([subject]))[subject].open(sealed)

    async def open_many(
        self, pairs: Iterable[tuple[Subject, str | None]]
    ) -> list[MaybeErased | None]:
        """The texts in their order, None for None. Raises `SealBroken`."""
        pairs = [*pairs]
        keys = await self.keys_of(subject for subject, _ in pairs)
        return [keys[subject].open(sealed) for subject, sealed in pairs]

    async def forget(self, subject: Subject, *, by: str, at: datetime) -> Receipt:
        """Destroy the person's key, and erase the personal columns of the read models.

        A tombstone with `by`, an id, and `at` remains. When it is repeated, the first tombstone
        stays and the columns are erased again. A person without a key gets a tombstone too.
        """
        return (await self.forget_all([subject], by=by, at=at))[0]

    async def forget_all(
        self, subjects: Iterable[Subject], *, by: str, at: datetime
    ) -> list[Receipt]:
        """Forget persons in one transaction, as `forget`; their receipts, in any order."""
        done = await self._forget([Tombstone(subject, at, by) for subject in subjects])
        return [self._keys.receipt(tombstone) for tombstone in done]

    async def forgotten_since(self, since: datetime) -> list[Receipt]:
        """Receipts of all persons forgotten from `since` on: what a restored database lacks."""
        return [self._keys.receipt(one) for one in await self._store.forgotten_since(since)]

    async def replay(self, receipts: Iterable[Receipt]) -> int:
        """Forget persons again in a restored database, before anyone uses it; returns how many.

        Safe to repeat. Raises `SealBroken`, and forgets no one, if one of the receipts is not
        valid.
        """
        receipts = [*receipts]
        if not all(map(self.is_valid, receipts)):
            raise SealBroken("a receipt that the service did not sign")
        return len(await self._forget([receipt.tombstone for receipt in receipts]))

    def is_valid(self, receipt: Receipt) -> bool:
        """Whether this service signed the receipt, with one of its present keys."""
        return self._keys.is_valid(receipt)

    async def rewrap(self) -> int:
        """Wrap every data key with the service's first key; then the others may be dropped.

        Returns how many were wrapped anew. Safe to interrupt and repeat. Raises `SealBroken`.
        """
        count, last = 0, None
        while page := await self._store.page(last, REWRAP_AT_ONCE):
            changed = {
                subject: (wrapped, again)
                for subject, wrapped in page.items()
                if (again := self._keys.rewrap(subject, wrapped)) is not None
            }
            await self._store.replace(changed)
            count, last = count + len(changed), [*page][-1]
        return count

    async def _create(self, subjects: Collection[Subject]) -> dict[Subject, DataKey]:
        """New keys, of those persons who had neither key nor tombstone."""
        wrapped = {one: self._keys.new_key(one) for one in subjects}
        epoch = self._cache.epoch
        added = await self._store.add(wrapped)
        keys = {one: self._keys.open_key(one, wrapped[one]) for one in added}
        self._cache.put(keys, epoch)
        return keys

    async def _load(self, subjects: Collection[Subject]) -> dict[Subject, DataKey]:
        if not subjects:
            return {}
        keys = self._cache.get(subjects)
        if missing := {*subjects} - keys.keys():
            epoch = self._cache.epoch
            stored = await self._store.read(missing)
            read = {one: _data_key(self._keys, one, key) for one, key in stored.items()}
            self._cache.put(read, epoch)
            keys |= read
        return keys

    async def _forget(self, tombstones: Sequence[Tombstone]) -> Sequence[Tombstone]:
        try:
            return await self._store.forget(tombstones)
        finally:
            # Also if it failed: the commit may have succeeded.
            self._cache.clear()


@asynccontextmanager
async def open_vault(
    pool: Pool, service_keys: Sequence[str], doorbell: Doorbell, *, personal: Sequence[Table] = ()
) -> AsyncIterator[Vault]:
    """The vault in the table `vault_key`, until the block ends.

    The connections of `pool` see all tenants. `personal` are the read models' tables with columns
    that `forget` erases, see `libs.postgres.personal`.
    """
    vault = Vault(VaultKeys(pool, personal), ServiceKeys(service_keys), doorbell=doorbell)
    try:
        yield vault
    finally:
        vault.close()


class _Cache:
    """The keys used last, each for `CACHE_SECONDS`; empty while notifications are not heard."""

    def __init__(self, doorbell: Doorbell | None, size: int, clock: Callable[[], float]) -> None:
        self._doorbell = doorbell
        self._size = size
        self._clock = clock
        self._keys: OrderedDict[Subject, tuple[float, DataKey]] = OrderedDict()
        self.epoch = 0
        self.close = (
            doorbell.add_listener(self.clear, FORGOTTEN) if doorbell is not None else self.clear
        )

    def get(self, subjects: Iterable[Subject]) -> dict[Subject, DataKey]:
        if self._doorbell is None or not self._doorbell.is_listening:
            return {}
        now, hits = self._clock(), {}
        for subject in subjects:
            until, key = self._keys.get(subject, (now, None))
            if key is not None and now < until:
                self._keys.move_to_end(subject)
                hits[subject] = key
        return hits

    def put(self, keys: Mapping[Subject, DataKey], epoch: int) -> None:
        """Add keys that were read when the cache was at `epoch`; nothing if it was cleared since,
        because a key may have been destroyed meanwhile.
        """
        if epoch != self.epoch or self._doorbell is None:
            return
        until = self._clock() + CACHE_SECONDS
        for subject, key in keys.items():
            self._keys[subject] = until, key
            self._keys.move_to_end(subject)
        while len(self._keys) > self._size:
            self._keys.popitem(last=False)

    def clear(self) -> None:
        self.epoch += 1
        self._keys.clear()


def _data_key(keys: ServiceKeys, subject: Subject, stored: StoredKey | None) -> DataKey:
    if stored is None or stored.wrapped is None:
        return DataKey(subject, None, stored.forgotten_at if stored else None)
    return keys.open_key(subject, stored.wrapped)
