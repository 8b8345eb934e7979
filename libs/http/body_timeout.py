"""The timeout of request bodies: one that stalls or trickles is cut off."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Self

from starlette.exceptions import HTTPException
from starlette.types import Receive

from libs.settings import ServiceSettings

SECONDS: Final = 20.0
BYTES_PER_SECOND: Final = 500.0


class BodyTooSlow(HTTPException):
    """408; the rest of the body is not read."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_TIMEOUT, headers={"Connection": "close"})


class BodyTimeout:
    """Limits how long the service waits for request bodies.

    No part of a body may take longer than `seconds` to arrive; a whole body may take longer only
    while it arrives at `rate` bytes a second. Only time spent waiting for the client counts, not
    the time in which the service does not read.

    One timer checks all pending bodies four times in `seconds`. Most bodies arrive at once, so a
    timer for each of them would cost more than it does.
    """

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        rate: float = BYTES_PER_SECOND,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.rate = rate
        self.now = now
        self._pending: dict[TimedBody, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def from_settings(cls, settings: ServiceSettings) -> Self:
        """The timeout of a service's settings."""
        return cls(seconds=settings.body_seconds, rate=settings.body_bytes_per_second)

    def begin(self, body: "TimedBody", deadline: float) -> None:
        """Start waiting for the next part of `body`, until `deadline`."""
        self._pending[body] = deadline
        if self._timer is None:
            self._set_timer()

    def end(self, body: "TimedBody") -> None:
        """Stop waiting for `body`."""
        self._pending.pop(body, None)

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.seconds / 4, self._check)

    def _check(self) -> None:
        now = self.now()
        for body, deadline in self._pending.items():
            if deadline <= now:
                body.cut_off()
        self._timer = None
        if self._pending:
            self._set_timer()


class TimedBody:
    """The `receive` of one request within a `BodyTimeout`.

    What comes after the body, the end of the connection, may take any time.
    """

    __slots__ = ("_complete", "_left", "_receive", "_task", "_timeout")

    def __init__(self, receive: Receive, timeout: BodyTimeout) -> None:
        self._receive = receive
        self._timeout = timeout
        self._left = timeout.seconds
        self._complete = False
        self._task: asyncio.Task[Any] | None = None

    async def __call__(self) -> Any:
        """The next message. Raises BodyTooSlow."""
        if self._complete:
            return await self._receive()
        timeout, started_at = self._timeout, self._timeout.now()
        if self._left <= 0:
            raise BodyTooSlow
        self._task = task = asyncio.current_task()
        timeout.begin(self, started_at + min(self._left, timeout.seconds))
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            # By `cut_off`, unless the task was also cancelled from elsewhere.
            if self._task is None and task is not None and task.uncancel() == 0:
                raise BodyTooSlow from None
            raise
        finally:
            timeout.end(self)
        self._complete = not message.get("more_body", False)
        self._left += len(message.get("body", b"")) / timeout.rate - (timeout.now() - started_at)
        return message

    def cut_off(self) -> None:
        """Cancel the wait; the reader gets BodyTooSlow."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
