"""A day in a thread of its own, because the main one keeps the platform running meanwhile."""

import asyncio
import threading
from contextlib import suppress

from deploy.demo.day import Day, Verdict


class Performance:
    """Use as a context manager: entering begins the day, leaving breaks it off if need be.

    Once `over`, either `verdict` or `trouble` is set, or neither if it was broken off.
    """

    def __init__(self, day: Day) -> None:
        self.day = day
        self.verdict: Verdict | None = None
        self.trouble: Exception | None = None
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[Verdict] | None = None
        self._thread = threading.Thread(target=self._run, name="day", daemon=True)

    def __enter__(self) -> "Performance":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # the loop may have closed just now
            self._loop.call_soon_threadsafe(self._break_off)
        self._thread.join()

    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                self.verdict = runner.run(self._perform())
        except asyncio.CancelledError:
            return
        except Exception as trouble:  # noqa: BLE001 (whoever waits for the thread tells it)
            self.trouble = trouble

    async def _perform(self) -> Verdict:
        self._task = asyncio.ensure_future(self.day.run())
        return await self._task

    def _break_off(self) -> None:
        if self._task is not None:
            self._task.cancel()
