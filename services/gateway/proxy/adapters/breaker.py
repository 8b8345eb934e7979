"""A circuit breaker for one service."""

import time
from collections.abc import Callable


class CircuitBreaker:
    """Opens after `failures` in a row; after `seconds` it lets one trial request through.

    Every request that was let through must end in `record_failure`, `record_success` or
    `record_cancelled`, or a trial would never end.
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

    def seconds_to_wait(self) -> float:
        """Seconds until a request may be sent; 0.0 lets this one through, as the trial if open."""
        if self._failures < self._limit:
            return 0.0
        wait = self._open_until - self._now()
        if wait > 0:
            return wait
        if self._trying:
            return self._seconds
        self._trying = True
        return 0.0

    def record_failure(self) -> None:
        """The service could not be reached."""
        self._failures += 1
        self._trying = False
        if self._failures >= self._limit:
            self._open_until = self._now() + self._seconds

    def record_success(self) -> None:
        """The service answered, with any status."""
        self._failures = 0
        self._trying = False

    def record_cancelled(self) -> None:
        """The request ended before its outcome was known."""
        self._trying = False
