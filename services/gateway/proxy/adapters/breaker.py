"""A circuit breaker for one service."""

import time
from collections.abc import Callable


class Breaker:
    """Opens after `failures` in a row; after `seconds` it lets one request try.

    What counts as a failure is the caller's to say, by `failed`; anything else must end in
    `succeeded` or `undecided`, or a trial would never end.
    """

    def __init__(
        self, *, failures: int, seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._seconds = seconds
        self._now = now
        self._failures = 0
        self._open_until = 0.0
        self._trying = False

    def refuses_for(self) -> float:
        """Seconds to stay away; 0.0 lets the caller through, as the one trial if it was open."""
        if self._failures < self._limit:
            return 0.0
        wait = self._open_until - self._now()
        if wait > 0:
            return wait
        if self._trying:
            return self._seconds
        self._trying = True
        return 0.0

    def failed(self) -> None:
        """The one behind could not be reached."""
        self._failures += 1
        self._trying = False
        if self._failures >= self._limit:
            self._open_until = self._now() + self._seconds

    def succeeded(self) -> None:
        """The one behind answered, whatever it said."""
        self._failures = 0
        self._trying = False

    def undecided(self) -> None:
        """The caller went away before it was known."""
        self._trying = False
