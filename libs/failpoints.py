"""Failpoints: named points in the code at which a test kills or stops the whole process.

Only a program made for tests arms one: no service knows the profile `test`. An unarmed failpoint
costs one comparison, and it stands in code that runs once per page, batch or group.
"""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from signal import Signals
from typing import Final

POINTS: Final = (
    "log-appending",
    "group-writing",
    "group-written",
    "log-appended",
    "relay-saving",
    "relay-saved",
    "partition-sending",
    "partition-sent",
    "partition-flushed",
    "relay-flushed",
    "relay-confirming",
    "relay-confirmed",
    "batch-projecting",
    "batch-advanced",
    "batch-committing",
    "batch-committed",
    "inbox-storing",
    "inbox-saving",
    "inbox-stored",
    "reaction-completing",
    "reaction-completed",
)
"""All failpoints in the order in which an event passes them. A name that ends in -ing lies before
the step, the others lie behind it."""

ACTIONS: Final[Mapping[str, Signals]] = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class NotArmed(Exception):
    """The failpoint was refused: the profile is not `test`, or there is no such failpoint."""


@dataclass(slots=True)
class _Armed:
    point: str
    action: Signals
    left: int

    def hit(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.action)


_armed: _Armed | None = None


def failpoint(point: str) -> None:
    """Do nothing, or kill or stop the process if `point` is armed."""
    if _armed is not None:
        _armed.hit(point)


def arm(env: Mapping[str, str] = os.environ) -> None:
    """Arm the failpoint in TILLSTREAM_FAILPOINT; disarm if the variable is empty or missing.

    `relay-saved` kills the process at the first call, `relay-saved=stop@3` stops it at the third.
    Raises NotArmed unless TILLSTREAM_PROFILE is `test`.
    """
    global _armed  # noqa: PLW0603 -- the points are the process's own, like the signals they send
    spec = env.get("TILLSTREAM_FAILPOINT", "")
    if spec and env.get("TILLSTREAM_PROFILE") != "test":
        raise NotArmed("failpoints exist in the profile test alone")
    _armed = _parse(spec) if spec else None


def _parse(spec: str) -> _Armed:
    point, _, rest = spec.partition("=")
    action, _, count = (rest or "kill").partition("@")
    count = count or "1"
    if point not in POINTS or action not in ACTIONS or not count.isdecimal() or count == "0":
        raise NotArmed(f"{spec!r} is no failpoint")
    return _Armed(point, ACTIONS[action], int(count))
