"""The wire format of the scale's protocol, for both of its ends (§4)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STX: Final = 0x02
LONG: Final = 0xFF
"""In place of the length byte, when 255 bytes or more follow it."""
COMMAND: Final = 0xFF
PREFIX_BYTES: Final = 4
PASSWORD_BYTES: Final = 4
CHUNK_BYTES: Final = 60_000
"""The vendor's limit for the data of one chunk."""
FRAME_BYTES: Final = 128 * 1024
"""The longest frame accepted (R21)."""

DONE: Final = 0x00
WORKING: Final = 0x01
FAILED: Final = 0x02
"""The status of an import; the status of a hash is one of the first two."""


class Step(StrEnum):
    """A command, with its stage where it has several."""

    CREATE = "14"
    CREATED = "15"
    HASH = "12/06"
    HASHED = "12/07"
    CHUNK = "12/03"
    ANNOUNCE = "13/02"
    SEND = "13/03"
    CHECK = "13/09"
    INFO = "17"


_STAGED: Final = frozenset({0x12, 0x13})
WITHOUT_PASSWORD: Final = frozenset({0x17})
_STEPS: Final = {step.value: step for step in Step}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A parsed request. `step` is None for an unknown command."""

    code: int
    step: Step | None
    password: bytes
    rest: bytes


class NotAPacket(ValueError):
    """The bytes are no packet; the message is for people."""


def packet(code: int, payload: bytes) -> bytes:
    """The body of a frame: STX, length byte, command, `payload`."""
    follows = 2 + len(payload)
    return bytes([STX, min(follows, LONG), COMMAND, code]) + payload


def framed(body: bytes) -> bytes:
    """The frame that goes over the wire: the length, then the body."""
    return len(body).to_bytes(PREFIX_BYTES, "little") + body


def read_request(body: bytes) -> Request:
    """Parse the body of a request. Raises NotAPacket."""
    if len(body) < 4 or body[0] != STX or body[2] != COMMAND:
        raise NotAPacket("a packet begins with 02, its length and FF")
    if body[1] != min(len(body) - 2, LONG):
        raise NotAPacket("the length byte is wrong")
    code = body[3]
    password = b"" if code in WITHOUT_PASSWORD else body[4 : 4 + PASSWORD_BYTES]
    rest = body[4 + len(password) :]
    staged = code in _STAGED
    name = f"{code:02X}/{rest[0]:02X}" if staged and rest else f"{code:02X}"
    return Request(
        code=code, step=_STEPS.get(name), password=password, rest=rest[1:] if staged else rest
    )
