"""How slowly a client may send: a body that stalls or trickles is cut off."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from services.gateway.api import fault
from services.gateway.api.cors import Receive


class Patience:
    """How long clients may keep us waiting for their bodies.

    No part may take longer than `seconds` to come, and all of them together only as much longer as
    they bring `rate` bytes a second. Only waiting counts: a body that is taken slowly, because the
    service behind takes it slowly, is not the client's fault.

    One timer watches over everybody who waits, four times in `seconds`: most bodies are there at
    once, and a timer for each of them would cost more than all the rest of this.
    """

    def __init__(
        self, *, seconds: float, rate: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self.rate = rate
        self.now = now
        self._waiting: dict[Paced, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, paced: "Paced", deadline: float) -> None:
        """Somebody waits from now on."""
        self._waiting[paced] = deadline
        if self._timer is None:
            self._set_timer()

    def end(self, paced: "Paced") -> None:
        """They wait no longer."""
        del self._waiting[paced]

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.seconds / 4, self._look)

    def _look(self) -> None:
        now = self.now()
        for paced, deadline in self._waiting.items():
            if deadline <= now:
                paced.cut_off()
        self._timer = None
        if self._waiting:
            self._set_timer()


class Paced:
    """The `receive` of one request, with that patience."""

    __slots__ = ("_left", "_patience", "_receive", "_task")

    def __init__(self, receive: Receive, patience: Patience) -> None:
        self._receive = receive
        self._patience = patience
        self._left = patience.seconds
        self._task: asyncio.Task[Any] | None = None

    async def __call__(self) -> Any:
        """The next message. Raises TooSlow."""
        patience, began = self._patience, self._patience.now()
        if self._left <= 0:
            raise fault.TooSlow
        self._task = task = asyncio.current_task()
        patience.begin(self, began + min(self._left, patience.seconds))
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            # Cut off; unless somebody else wants the task to end as well.
            if self._task is None and task is not None and task.uncancel() == 0:
                raise fault.TooSlow from None
            raise
        finally:
            patience.end(self)
        self._left += len(message.get("body", b"")) / patience.rate - (patience.now() - began)
        return message

    def cut_off(self) -> None:
        """Let the waiting end."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
