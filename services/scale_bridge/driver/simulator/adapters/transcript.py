"""The frames on a simulated scale's wire, and the operations that overlapped on it."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal

from services.scale_bridge.driver.domain.wire import PASSWORD_BYTES, Step

HEAD: Final = 64
"""How many bytes of a frame's body are stored."""
MOST_FRAMES: Final = 50_000
MOST_OVERLAPS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One frame. `at` is in seconds since the simulator started, `head` begins with STX."""

    at: float
    connection: int
    direction: Literal["in", "out"]
    step: str
    size: int
    head: bytes

    def line(self) -> str:
        """The frame as one line of JSON, with the password of a request masked."""
        head = self.head.hex()
        if self.direction == "in" and self.step != Step.INFO:
            head = head[:8] + "**" * PASSWORD_BYTES + head[8 + 2 * PASSWORD_BYTES :]
        return json.dumps({**asdict(self), "at": round(self.at, 6), "head": head})


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """A command of one connection during an operation of another."""

    at: float
    running: int
    intruder: int
    step: str


class Transcript:
    """The last frames and overlaps, the counts of all, and the connections with an operation."""

    def __init__(self, on_frame: Callable[[Frame], None] | None = None) -> None:
        self.frames: deque[Frame] = deque(maxlen=MOST_FRAMES)
        self.overlaps: deque[Overlap] = deque(maxlen=MOST_OVERLAPS)
        self.overlap_count = 0
        self.count = 0
        self.connections = 0
        self.malformed = 0
        self._running: dict[int, Callable[[], bool]] = {}
        self._started = time.monotonic()
        self._on_frame = on_frame

    def received(self, connection: int, step: str, body: bytes, ended: Callable[[], bool]) -> None:
        """Add a request. `ended` tells whether its connection has ended since."""
        self._add(connection, "in", step, body)
        for other, other_ended in list(self._running.items()):
            if other != connection and other_ended():
                del self._running[other]
            elif other != connection:
                overlap = Overlap(at=self._now(), running=other, intruder=connection, step=step)
                self.overlaps.append(overlap)
                self.overlap_count += 1
        if step != Step.INFO:
            self._running[connection] = ended

    def sent(self, connection: int, step: str, body: bytes, *, last: bool) -> None:
        """Add a reply; `last` if it ends its operation."""
        self._add(connection, "out", step, body)
        if last:
            self._running.pop(connection, None)

    def closed(self, connection: int) -> None:
        """End the operation of a connection that has ended."""
        self._running.pop(connection, None)

    def steps(self) -> Iterator[str]:
        """The commands of all requests, in their order."""
        return (frame.step for frame in self.frames if frame.direction == "in")

    def assert_alone(self) -> None:
        """Raises AssertionError if commands of two connections were ever interleaved."""
        if self.overlaps:
            last = self.overlaps[-1]
            raise AssertionError(
                f"{self.overlap_count} commands came while another connection's operation was "
                f"under way; the last was {last.step} of {last.intruder} into {last.running}"
            )

    def _add(
        self, connection: int, direction: Literal["in", "out"], step: str, body: bytes
    ) -> None:
        frame = Frame(
            at=self._now(),
            connection=connection,
            direction=direction,
            step=step,
            size=len(body),
            head=body[:HEAD],
        )
        self.frames.append(frame)
        self.count += 1
        if self._on_frame is not None:
            self._on_frame(frame)

    def _now(self) -> float:
        return time.monotonic() - self._started
