"""Named places in the way of an event where a test may kill or stop the whole process.

Nobody arms them but a program made for tests: no service knows the profile `test`. Unarmed, a
point is one comparison, and it stands on paths walked once per page, batch or group.
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
"""All of them, in the order an event meets them. What ends in -ing lies before the deed."""

ACTIONS: Final[Mapping[str, Signals]] = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class NotArmed(Exception):
    """The fail point was refused: another profile than `test`, or words that name none."""


@dataclass(slots=True)
class _Armed:
    point: str
    action: Signals
    left: int

    def pass_by(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.action)


_armed: _Armed | None = None


def reach(point: str) -> None:
    """The process has come to `point`: nothing, or its end."""
    if _armed is not None:
        _armed.pass_by(point)


def arm(env: Mapping[str, str] = os.environ) -> None:
    """Arm the point that TILLSTREAM_FAILPOINT names, if any; without one, disarm.

    `relay-saved` kills the process the first time it comes there, `relay-saved=stop@3` stops it the
    third time. Raises NotArmed unless TILLSTREAM_PROFILE is `test`.
    """
    global _armed  # noqa: PLW0603 -- the points are the process's own, like the signals they send
    wanted = env.get("TILLSTREAM_FAILPOINT", "")
    if wanted and env.get("TILLSTREAM_PROFILE") != "test":
        raise NotArmed("fail points exist in the profile test alone")
    _armed = _parse(wanted) if wanted else None


def _parse(wanted: str) -> _Armed:
    place, _, how = wanted.partition("=")
    action, _, times = (how or "kill").partition("@")
    times = times or "1"
    if place not in POINTS or action not in ACTIONS or not times.isdecimal() or times == "0":
        raise NotArmed(f"{wanted!r} is no fail point")
    return _Armed(place, ACTIONS[action], int(times))
