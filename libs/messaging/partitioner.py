"""Kafka's partitioner for many keys at once.

One key takes longer in Python than all else that is done for its record, and most streams of facts
hold one event. So the keys of one length are hashed together: each has 64 bits of one long integer,
of which 32 are used, so that a product does not reach into its neighbour.
"""

import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

FACTOR: Final = 0x5BD1E995
SEED: Final = 0x9747B28C
WORD: Final = 4
LANE: Final = 8
"""Bytes."""


def partitions_of(streams: Iterable[str], partitions: int) -> Iterator[tuple[str, int]]:
    """Each stream with its partition, as `topics.partition_of` says; not in the order given."""
    by_length: dict[int, tuple[list[str], list[bytes]]] = defaultdict(lambda: ([], []))
    for stream in streams:
        key = stream.encode()
        names, keys = by_length[len(key)]
        names.append(stream)
        keys.append(key)
    for names, keys in by_length.values():
        for stream, number in zip(names, hash_all(keys), strict=True):
            yield stream, (number & 0x7FFFFFFF) % partitions


def hash_all(keys: Sequence[bytes]) -> Sequence[int]:
    """Kafka's murmur2 of keys that have one length, in 32 bits."""
    words, rest = divmod(len(keys[0]), WORD)
    ones = int.from_bytes(b"\1".ljust(LANE, b"\0") * len(keys), "little")
    low, columns = ones * 0xFFFFFFFF, [*_columns(keys)]
    number = ones * (SEED ^ len(keys[0]))
    for word in columns[:words]:
        mixed = word * FACTOR & low
        mixed = (mixed ^ mixed >> 24 & ones * 0xFF) * FACTOR & low
        number = number * FACTOR & low ^ mixed
    if rest:
        number = (number ^ columns[words]) * FACTOR & low
    number = (number ^ number >> 13 & ones * 0x7FFFF) * FACTOR & low
    return _integers(
        "Q", (number ^ number >> 15 & ones * 0x1FFFF).to_bytes(LANE * len(keys), "little")
    )


def _columns(keys: Sequence[bytes]) -> Iterator[int]:
    """The first word of all keys, then the second, and so on; the last is filled up with zeros."""
    filling = bytes(-len(keys[0]) % WORD)
    words = _integers("I", filling.join(keys) + filling)
    count = len(words) // len(keys)
    for number in range(count):
        yield int.from_bytes(_little(array("Q", words[number::count])).tobytes(), "little")


def _integers(kind: str, content: bytes) -> "array[int]":
    read: array[int] = array(kind)
    read.frombytes(content)
    return _little(read)


def _little(integers: "array[int]") -> "array[int]":
    """Between this machine's order of bytes and the little one."""
    if sys.byteorder != "little":
        integers.byteswap()
    return integers
