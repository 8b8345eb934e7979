"""What the service and the daemon on a shop's LAN say to each other, over one WebSocket.

Work is handed out while the daemon has room for it, and reports go back until they are settled.
Both sides repeat what they are not sure of, and both know what they have heard before. Moments are
told as ages: the clocks of the two need not agree. No secret is in a message, but for a scale's
password, sealed to the daemon's own key.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from services.scale_bridge.driver.domain.document import STRICT, Strictness

VERSION: Final = 1
PROGRAM: Final = "tillstream-bridge 1"
"""Which daemon this is; one that differs from the service's is to be brought up to date."""
PART_BYTES: Final = 128 * 1024
"""Of a catalogue, compressed; with its envelope far below what a door lets through at once."""
HEARTBEAT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 35.0
"""After so long without a word the other side counts as gone, whatever the connection says."""

SUPERSEDED: Final = 4409
"""The code a connection is closed with when the same daemon has opened another."""
MISUNDERSTOOD: Final = 4400
"""The code for messages that are none, or of another version."""


class Stage(StrEnum):
    """How far an operation is."""

    BEGAN = "began"
    APPLIED = "applied"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """The daemon is there, and these are the operations it has, ended ones not yet settled too."""

    version: int
    program: str
    holding: tuple[UUID, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """The service is there, and speaks this version; `program` is the daemon that goes with it."""

    version: int
    program: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """The daemon has room for so many more operations."""

    room: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """An operation on a scale: `kind` as in OperationQueued, to be over in `seconds_left`.

    `operation_id` is the task's: where the service makes two of an operation, each has its own.

    `password` is sealed to the daemon, in the context `context_of`. `catalogue` is the MD5 of what
    the scale shall show, `known` of what it was last seen to hold; they come as parts before.
    `diagnose` and `strictness` are as in `device_task.DeviceTask`.
    """

    operation_id: UUID
    device_id: UUID
    kind: str
    full: bool
    address: str
    port: int
    password: bytes
    seconds_left: float
    catalogue: str | None = None
    known: str | None = None
    diagnose: bool = False
    strictness: Strictness = STRICT


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One of the `of` parts of a compressed catalogue, numbered from 0. Either side sends them."""

    md5: str
    number: int
    of: int
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The work is on the daemon's disk."""

    operation_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """So many bytes are over, of `total` if that is known. Sent once and not stored."""

    operation_id: UUID
    done: int
    total: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What became of an operation so far; what a later report says counts.

    Of an ENDED one `outcome`, `code`, `detail` and `result` are as in OperationEnded. `content` is
    the MD5 of what the scale was read to hold, if it was; it comes as parts before. After a
    `doubtful` end it is unknown what the scale holds, unless `content` says so. `catalogue` repeats
    that of the work.
    """

    stage: Stage
    attempt: int
    outcome: str = ""
    code: str = ""
    detail: str = ""
    result: int | None = None
    content: str | None = None
    items: int | None = None
    doubtful: bool = False
    catalogue: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """The report with this number, from 1, of an operation; repeated until it is settled."""

    operation_id: UUID
    number: int
    report: Report
    seconds_ago: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """The report, and all before it, are in the service's log: the daemon may forget them."""

    operation_id: UUID
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """What the daemon knows to work: exchanges with scales that were completed, nothing else."""

    working: int
    completed: int
    last_completed_seconds_ago: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """The answer to a heartbeat: the service is there, not only a connection."""


Message: TypeAlias = (
    Hello | Welcome | Ready | Work | Part | Kept | Progress | Reported | Settled | Heartbeat | Heard
)
MESSAGES: Final = (
    Hello,
    Welcome,
    Ready,
    Work,
    Part,
    Kept,
    Progress,
    Reported,
    Settled,
    Heartbeat,
    Heard,
)


def context_of(operation_id: UUID, device_id: UUID) -> str:
    """What a password is sealed for: this operation on this scale, no other."""
    return f"scale {device_id} operation {operation_id}"
