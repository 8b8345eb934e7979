"""What went over a simulated scale's wire, and whether two operations ever met on it."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal

from services.scale_bridge.driver.adapters.wire import PASSWORD_BYTES, Step

HEAD: Final = 64
"""How much of a frame's body the transcript keeps."""
LONGEST: Final = 50_000
LAST_OVERLAPS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One frame. `at` is in seconds from the simulator's start, `head` begins with STX."""

    at: float
    connection: int
    direction: Literal["in", "out"]
    step: str
    size: int
    head: bytes

    def line(self) -> str:
        """As one line of JSON. The password of a request is masked."""
        head = self.head.hex()
        if self.direction == "in" and self.step != Step.INFO:
            head = head[:8] + "**" * PASSWORD_BYTES + head[8 + 2 * PASSWORD_BYTES :]
        return json.dumps({**asdict(self), "at": round(self.at, 6), "head": head})


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """A command of one connection came while an operation of another was under way."""

    at: float
    running: int
    intruder: int
    step: str


class Transcript:
    """Keeps the last frames and overlaps, counts them all, knows which connection is at work."""

    def __init__(self, listen: Callable[[Frame], None] | None = None) -> None:
        self.frames: deque[Frame] = deque(maxlen=LONGEST)
        self.overlaps: deque[Overlap] = deque(maxlen=LAST_OVERLAPS)
        self.overlap_count = 0
        self.count = 0
        self.connections = 0
        self.malformed = 0
        self._running: dict[int, Callable[[], bool]] = {}
        self._began = time.monotonic()
        self._listen = listen

    def received(self, connection: int, step: str, body: bytes, gone: Callable[[], bool]) -> None:
        """A request has come. `gone` says whether its connection has ended since."""
        self._add(connection, "in", step, body)
        for other, left in list(self._running.items()):
            if other != connection and left():
                del self._running[other]
            elif other != connection:
                overlap = Overlap(at=self._now(), running=other, intruder=connection, step=step)
                self.overlaps.append(overlap)
                self.overlap_count += 1
        if step != Step.INFO:
            self._running[connection] = gone

    def sent(self, connection: int, step: str, body: bytes, *, last: bool) -> None:
        """A reply goes out; `last` if its operation is over with it."""
        self._add(connection, "out", step, body)
        if last:
            self._running.pop(connection, None)

    def closed(self, connection: int) -> None:
        """The connection has ended, and its operation with it."""
        self._running.pop(connection, None)

    def steps(self) -> Iterator[str]:
        """The commands that came, in their order."""
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
        if self._listen is not None:
            self._listen(frame)

    def _now(self) -> float:
        return time.monotonic() - self._began
