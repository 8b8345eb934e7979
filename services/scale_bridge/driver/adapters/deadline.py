"""The time an operation has left, asked by its own thread; others may put an end to it."""

import threading
import time
from typing import Final

from services.scale_bridge.driver.domain.fault import Timeout

SLICE_SECONDS: Final = 0.2
"""How long at most a thread waits before it looks whether it should still wait."""


class Stopped(Exception):
    """Somebody does not want the operation any more."""


class Deadline:
    """Runs from when it is made. Every wait of an operation goes through it (R2)."""

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic()
        self._ends = self._began + seconds
        self._stopped = threading.Event()

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def left(self) -> float:
        """Seconds left, more than none. Raises Timeout, Stopped."""
        if self._stopped.is_set():
            raise Stopped
        seconds = self._ends - time.monotonic()
        if seconds <= 0:
            raise Timeout("The operation on the scale took too long.")
        return seconds

    def slice(self) -> float:
        """How long to wait before asking again. Raises Timeout, Stopped."""
        return min(SLICE_SECONDS, self.left())

    def pause(self, seconds: float) -> None:
        """Sleep, at most until the end. Raises Timeout, Stopped."""
        self._stopped.wait(min(seconds, self.left()))
        self.left()

    def stop(self) -> None:
        """Make waiting calls raise Stopped, within a slice. Called from any thread."""
        self._stopped.set()
