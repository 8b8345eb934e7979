"""A file on its way to a simulated scale, in chunks that name their offsets."""

from dataclasses import dataclass, field
from hashlib import md5
from typing import Final, Literal, TypeAlias

from services.scale_bridge.driver.domain.wire import FAILED

LARGEST: Final = 64 * 1024 * 1024
SizeOrder: TypeAlias = Literal["big", "little", "wrong"]

_ANNOUNCED: Final = 16 + 1 + 8 + 1 + 1
_SIZE_FIELD: Final = 0x04
_CLEAR_FIELD: Final = 0x01


class BadParameter(ValueError):
    """An announcement or a chunk breaks the protocol; the message is for people."""


@dataclass(kw_only=True, slots=True)
class Upload:
    """An announced file. A check returns `status` and `error` after so many `polls`."""

    digest: bytes
    sizes: tuple[int, int]
    clear: bool
    polls: int | None = 0
    chunks: dict[int, bytes] = field(default_factory=dict)
    ended: bool = False
    imported: bool = False
    status: int = FAILED
    error: str = ""

    @property
    def size_order(self) -> SizeOrder:
        """The byte order in which the announced size is the size of all chunks."""
        size = sum(len(chunk) for chunk in self.chunks.values())
        big, little = self.sizes
        return "big" if size == big else "little" if size == little else "wrong"

    def put(self, payload: bytes) -> None:
        """Store a chunk at its offset. Safe to repeat. Raises BadParameter."""
        last, data = payload[:1], payload[7:]
        offset = int.from_bytes(payload[1:5], "little")
        if last not in (b"\x00", b"\x01") or int.from_bytes(payload[5:7], "little") != len(data):
            raise BadParameter("the chunk's length or its last flag is wrong")
        if offset + len(data) > LARGEST:
            raise BadParameter("the file is too large")
        self.chunks[offset] = data
        self.ended = self.ended or last == b"\x01"

    def file(self) -> bytes | None:
        """The file if it is complete and has the announced hash, else None."""
        whole = bytearray()
        for offset in sorted(self.chunks):
            if offset != len(whole):
                return None
            whole += self.chunks[offset]
        if not self.ended or self.size_order == "wrong":
            return None
        file = bytes(whole)
        return file if md5(file, usedforsecurity=False).digest() == self.digest else None


def announced(payload: bytes, polls: int | None) -> Upload:
    """The upload that the payload of FF13/02 announces. Raises BadParameter."""
    if len(payload) != _ANNOUNCED or (payload[16], payload[25]) != (_SIZE_FIELD, _CLEAR_FIELD):
        raise BadParameter("an announcement is 16 bytes of hash, 04, eight of size, 01, clear")
    if payload[26] not in (0, 1):
        raise BadParameter("the clear flag is neither 00 nor 01")
    size = payload[17:25]
    sizes = int.from_bytes(size, "big"), int.from_bytes(size, "little")
    if min(sizes) > LARGEST:
        raise BadParameter("the file is too large")
    return Upload(digest=payload[:16], sizes=sizes, clear=payload[26] == 0, polls=polls)
