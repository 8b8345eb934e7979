"""Times in which the gateway could not be used, one line each."""

import time
from collections.abc import Callable


class Outages:
    """Hears of every failed and every good request of all devices; counts and tells outages."""

    def __init__(
        self, tell: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.count = 0
        self._tell = tell
        self._clock = clock
        self._began: float | None = None
        self._latest = 0.0
        self._failures = 0

    def failed(self, why: str) -> None:
        """A request failed that was not meant to."""
        self._latest = self._clock()
        self._failures += 1
        if self._began is None:
            self._began, self._failures = self._latest, 1
            self.count += 1
            self._tell(f"Outage {self.count}: {_one_line(why)}. The devices keep trying.")

    def worked(self, *, begun: float) -> None:
        """A request that was begun then was accepted; one begun before the latest failure says
        nothing about now."""
        if self._began is not None and begun > self._latest:
            seconds = self._clock() - self._began
            self._tell(
                f"Outage {self.count} is over after {seconds:.1f} s "
                f"and {self._failures} failed requests."
            )
            self._began = None

    def seconds(self) -> float:
        """How long the present outage has lasted; 0 if there is none."""
        return 0.0 if self._began is None else self._clock() - self._began


def _one_line(why: str) -> str:
    text = " ".join(why.split())
    return text if len(text) <= 100 else f"{text[:100]}…"
