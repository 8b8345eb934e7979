"""The deadline of an operation: its thread reads it, any thread may stop the operation."""

import threading
import time
from typing import Final

from services.scale_bridge.driver.domain.fault import Timeout

SLICE_SECONDS: Final = 0.2
"""The longest a thread waits before it checks whether the operation was stopped."""


class Stopped(Exception):
    """The operation was stopped from another thread."""


class Deadline:
    """Begins when it is constructed. Every wait of an operation goes through it (R2)."""

    def __init__(self, seconds: float) -> None:
        self._started = time.monotonic()
        self._until = self._started + seconds
        self._stopped = threading.Event()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    def left(self) -> float:
        """Seconds left, more than 0. Raises Timeout, Stopped."""
        if self._stopped.is_set():
            raise Stopped
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise Timeout("The operation on the scale took too long.")
        return seconds

    def slice(self) -> float:
        """Seconds to wait before the next check. Raises Timeout, Stopped."""
        return min(SLICE_SECONDS, self.left())

    def pause(self, seconds: float) -> None:
        """Sleep, at most until the deadline. Raises Timeout, Stopped."""
        self._stopped.wait(min(seconds, self.left()))
        self.left()

    def stop(self) -> None:
        """Make waiting calls raise Stopped within `SLICE_SECONDS`. Called from any thread."""
        self._stopped.set()
