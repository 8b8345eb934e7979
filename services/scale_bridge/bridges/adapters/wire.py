"""Messages as text frames, and catalogues as parts of the size of a message."""

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import msgspec

from services.scale_bridge.bridges.domain import MESSAGES, PART_BYTES, VERSION, Message, Part
from services.scale_bridge.driver.domain.document import LARGEST_BYTES, Document, digest

MOST_PARTS: Final = LARGEST_BYTES // PART_BYTES + 1
LARGEST_NUMBER: Final = 2**31 - 1
"""The largest number in a message, of whatever unit: the columns have 32 bits."""


class Misunderstood(Exception):
    """An invalid message, or one of another version. The text names the reason, not the content."""


class _Frame(msgspec.Struct, frozen=True):
    v: int
    type: str
    data: msgspec.Raw


_DECODERS: Final[dict[str, Callable[[msgspec.Raw], Any]]] = {
    name: msgspec.json.Decoder(kind).decode for name, kind in MESSAGES.items()
}
_NAMES: Final = {kind: name for name, kind in MESSAGES.items()}
_frame: Final = msgspec.json.Decoder(_Frame).decode


def written(message: Message) -> str:
    """The message as a text frame: JSON of version, type and data."""
    frame = _Frame(
        v=VERSION, type=_NAMES[type(message)], data=msgspec.Raw(msgspec.json.encode(message))
    )
    return msgspec.json.encode(frame).decode()


def read(text: str) -> Message:
    """The message in a text frame. Raises Misunderstood."""
    try:
        frame = _frame(text)
    except (msgspec.DecodeError, RecursionError):
        raise Misunderstood("no message at all") from None
    if frame.v != VERSION:
        raise Misunderstood("a message of another version")
    if frame.type not in _DECODERS:
        raise Misunderstood("a message of an unknown type")
    try:
        message = _DECODERS[frame.type](frame.data)
    except (msgspec.DecodeError, RecursionError):
        raise Misunderstood(f"no {frame.type}") from None
    if not _is_storable(message):
        raise Misunderstood(f"a {frame.type} that no table can hold")
    return cast(Message, message)


def _is_storable(value: object) -> bool:
    """Whether Postgres takes everything in a message: no NUL in texts, numbers within bounds."""
    if dataclasses.is_dataclass(value):
        return all(_is_storable(getattr(value, one.name)) for one in dataclasses.fields(value))
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, int | float):
        return abs(value) <= LARGEST_NUMBER
    return True


def compressed(content: bytes) -> bytes:
    """A catalogue in the form in which it is stored and sent."""
    return zlib.compress(content)


def read_catalogue(packed: bytes) -> Document:
    """The catalogue from its compressed form. Raises Misunderstood."""
    document: Document = json.loads(_unpacked(packed))
    return document


def parts_of(md5: str, packed: bytes) -> Iterator[Part]:
    """The parts of a compressed catalogue."""
    of = max(1, -(-len(packed) // PART_BYTES))
    for number in range(of):
        data = packed[number * PART_BYTES : (number + 1) * PART_BYTES]
        yield Part(md5=md5, number=number, of=of, data=data)


class Parts:
    """Assembles catalogues, one at a time, from parts that come in order."""

    def __init__(self) -> None:
        self._md5 = ""
        self._have: list[bytes] = []

    def take(self, part: Part) -> bytes | None:
        """The whole uncompressed catalogue with its last part, else None.

        Raises Misunderstood, also if the hash is wrong.
        """
        if part.number == 0:
            self._md5, self._have = part.md5, []
        if part.md5 != self._md5 or part.number != len(self._have) or part.of > MOST_PARTS:
            raise Misunderstood("a part out of order")
        self._have.append(part.data)
        if len(self._have) < part.of:
            return None
        whole, self._md5, self._have = b"".join(self._have), "", []
        content = _unpacked(whole)
        if digest(content) != part.md5:
            raise Misunderstood("a catalogue that is another")
        return content


def _unpacked(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(packed, LARGEST_BYTES + 1)
    except zlib.error:
        raise Misunderstood("a catalogue that cannot be unpacked") from None
    if not unpacking.eof or len(content) > LARGEST_BYTES:
        raise Misunderstood("a catalogue that is too large, or not whole")
    return content
