"""How slowly a client may send a request's body: one that stalls or trickles is cut off."""

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
    """408; what is left of the body is not waited for."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_TIMEOUT, headers={"Connection": "close"})


class BodyTimeout:
    """How long clients may keep us waiting for their bodies.

    No part may take longer than `seconds` to come, and all of them together only as much longer as
    they bring `rate` bytes a second. Only waiting counts: a body that is taken slowly, because the
    service behind takes it slowly, is not the client's fault.

    One timer watches all the bodies that are waited for, four times in `seconds`: most bodies are
    there at once, and a timer for each of them would cost more than all the rest of this.
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
        self._waiting: dict[TimedBody, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """The one that a service is set to."""
        return cls(seconds=settings.body_seconds, rate=settings.body_bytes_per_second)

    def begin(self, body: "TimedBody", deadline: float) -> None:
        """The next part of `body` is waited for, until `deadline`."""
        self._waiting[body] = deadline
        if self._timer is None:
            self._set_timer()

    def end(self, body: "TimedBody") -> None:
        """It is waited for no longer, by any of those who listen to its client."""
        self._waiting.pop(body, None)

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.seconds / 4, self._check)

    def _check(self) -> None:
        now = self.now()
        for body, deadline in self._waiting.items():
            if deadline <= now:
                body.cut_off()
        self._timer = None
        if self._waiting:
            self._set_timer()


class TimedBody:
    """The `receive` of one request within that timeout. What comes after the body, the end of the
    connection, may take any time."""

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
        timeout, began = self._timeout, self._timeout.now()
        if self._left <= 0:
            raise BodyTooSlow
        self._task = task = asyncio.current_task()
        timeout.begin(self, began + min(self._left, timeout.seconds))
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            # Cut off; unless the task was also cancelled from elsewhere.
            if self._task is None and task is not None and task.uncancel() == 0:
                raise BodyTooSlow from None
            raise
        finally:
            timeout.end(self)
        self._complete = not message.get("more_body", False)
        self._left += len(message.get("body", b"")) / timeout.rate - (timeout.now() - began)
        return message

    def cut_off(self) -> None:
        """Let the waiting end."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
