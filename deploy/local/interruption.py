"""Ctrl-C and SIGTERM as flags to check, not as exceptions."""

import signal
import time
from types import FrameType

# `make` forwards a signal that the terminal has sent to all processes: one request, two signals.
SAME_WISH_SECONDS = 0.5


class Interruption:
    """Whether to stop, and whether to hurry: a second Ctrl-C after the first wish."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._hurried = False

    def listen(self) -> None:
        """Take over SIGINT, SIGTERM and SIGHUP; from the main thread only."""
        for wish in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(wish, self._hear)

    def stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._asked_at is not None

    def hurried(self) -> bool:
        """Whether a stop was requested twice."""
        return self._hurried

    def ask(self) -> None:
        """Ask to stop, from inside the program."""
        self._asked_at = self._asked_at or time.monotonic()

    def _hear(self, number: int, _: FrameType | None) -> None:
        again = self._asked_at is not None and (
            time.monotonic() - self._asked_at > SAME_WISH_SECONDS
        )
        self._hurried |= again and number == signal.SIGINT
        self.ask()
