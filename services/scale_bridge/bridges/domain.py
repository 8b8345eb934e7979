"""The messages between the service and an agent on a shop's network, over one WebSocket.

The service sends tasks while the agent has room for them; the agent sends reports until they are
settled. Both sides repeat what is not confirmed and recognise repetitions. Moments are sent as
ages, so the two clocks need not agree. The only secret in a message is a scale's password, sealed
to the agent's own key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from services.scale_bridge.driver.domain.document import STRICT, Strictness

VERSION: Final = 1
PROGRAM: Final = "tillstream-bridge 1"
"""The version of the agent. An agent with another one than the service is outdated."""
PART_BYTES: Final = 128 * 1024
"""The size of a part of a compressed catalogue; far below the gateway's limit of a message."""
HEARTBEAT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 35.0
"""After so long without a message the other side counts as gone."""

SUPERSEDED: Final = 4409
"""The close code of a connection when the same agent has opened another."""
MISUNDERSTOOD: Final = 4400
"""The close code after an invalid message, or one of another version."""


class ReportStage(StrEnum):
    """The stages of a task that an agent reports."""

    BEGAN = "began"
    APPLIED = "applied"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """The agent's first message. `holding` are its tasks, also ended ones that are not settled."""

    version: int
    program: str
    holding: tuple[UUID, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """The service's answer to `Hello`. `program` is the current version of the agent."""

    version: int
    program: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """The agent takes `room` more tasks."""

    room: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A task: an operation of a `kind` on a scale, with `seconds_left` until its deadline.

    `operation_id` is the id of the task; of an operation with two tasks, each has its own.
    `password` is sealed to the agent, in the context `context_of`. `catalogue` is the MD5 of the
    desired catalogue, `known` of what the scale held last; both are sent as parts before.
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
    """One of the `of` parts of a compressed catalogue, numbered from 0. Both sides send them."""

    md5: str
    number: int
    of: int
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkStored:
    """The task is on the agent's disk."""

    operation_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """`done` bytes of `total` are transferred, None if unknown. Sent once and not stored."""

    operation_id: UUID
    done: int
    total: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The state of a task; a later report replaces an earlier one.

    With ENDED, `outcome`, `code`, `detail` and `result` are as in OperationEnded. `content` is the
    MD5 of what was read from the scale, sent as parts before. After a `doubtful` end it is unknown
    what the scale holds, unless there is a `content`. `catalogue` repeats that of the task.
    """

    stage: ReportStage
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
    """A report, numbered from 1 for each task. It is repeated until it is settled."""

    operation_id: UUID
    number: int
    report: Report
    seconds_ago: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """The service has recorded a report and all before it: the agent may delete them."""

    operation_id: UUID
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """The agent is connected. `working` tasks run; `completed` exchanges with scales so far."""

    working: int
    completed: int
    last_completed_seconds_ago: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeartbeatAnswer:
    """The answer to a heartbeat: the service itself is reachable, not only the gateway."""


Message: TypeAlias = (
    Hello
    | Welcome
    | Ready
    | Work
    | Part
    | WorkStored
    | Progress
    | Reported
    | Settled
    | Heartbeat
    | HeartbeatAnswer
)
MESSAGES: Final[Mapping[str, type]] = {
    "Hello": Hello,
    "Welcome": Welcome,
    "Ready": Ready,
    "Work": Work,
    "Part": Part,
    "Kept": WorkStored,
    "Progress": Progress,
    "Reported": Reported,
    "Settled": Settled,
    "Heartbeat": Heartbeat,
    "Heard": HeartbeatAnswer,
}
"""The messages by their names in a frame, which agents of all versions know."""


def context_of(operation_id: UUID, device_id: UUID) -> str:
    """The context a password is sealed in: one task on one scale."""
    return f"scale {device_id} operation {operation_id}"
